"""Random access to captioned clips, one class a place that they come from.

A source never shuffles, batches or forgives: it gives clip number `record`, or raises.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.moving_shapes import MovingShapes


class Example(NamedTuple):
    """What a source gives: a clip, or one frame of it, and its text."""

    frames: UInt8[np.ndarray, "t h w 3"]
    caption: str
    text_embedding: Float[np.ndarray, "l d"] | None = None


class Source(Protocol):
    """Clips by number. Must survive pickling: data workers are other processes."""

    identity: str
    """Names the content, not the place: a data position saved with another one is refused."""

    def __len__(self) -> int:
        """How many clips there are."""
        ...

    def read(self, record: int, moment: float | None = None, frames: int = 1) -> Example:
        """Clip `record`; only `frames` of it where a `moment` in [0, 1) says from where on.

        At 0 they are its first, near 1 its last ones.

        Raises:
          Exception: any kind, where the clip cannot be decoded.
        """
        ...


class ShapesSource:
    """The synthetic set, drawn while reading."""

    def __init__(self, config: DataConfig):
        self._shapes = MovingShapes(
            frames=config.frames,
            size=config.size,
            split=config.split,
            seed=config.seed,
            examples=config.examples,
        )
        self.identity = f"moving_shapes {config.split} {config.seed} {config.examples}"

    def __len__(self) -> int:
        return len(self._shapes)

    def read(self, record: int, moment: float | None = None, frames: int = 1) -> Example:
        """See `Source.read`."""
        shapes, caption = self._shapes, self._shapes.caption(record)
        if moment is None:
            return Example(shapes.clip(record), caption)
        start = first_frame(moment, frames, shapes.frames)
        return Example(shapes.segment(record, start, start + frames), caption)


def first_frame(moment: float, frames: int, length: int) -> int:
    """Where in a clip of `length` frames the segment of `frames` at `moment` begins."""
    return int(moment * (length - frames + 1))


def open_source(config: DataConfig) -> Source:
    """The source that `config.source` names.

    Raises:
      ValueError: there is no such kind, or the clips have other frames or another size.
      FileNotFoundError: the folder is not there.
    """
    kind, _, name = config.source.partition(":")
    if kind == "moving_shapes" and not name:
        return ShapesSource(config)
    if kind == "records" and name:
        from lumiere_jax.input_pipeline.record_source import RecordSource

        return RecordSource(name, config)
    if kind == "tfds" and name:
        from lumiere_jax.input_pipeline.tfds_source import open_tfds

        return open_tfds(name, config)
    if kind == "images" and name:
        from lumiere_jax.input_pipeline.image_source import ImageSource

        return ImageSource(name, config)
    raise ValueError(
        f"data.source={config.source!r}: must be 'moving_shapes', 'records:<folder>', "
        "'tfds:<name>' or 'images:<folder>'"
    )
