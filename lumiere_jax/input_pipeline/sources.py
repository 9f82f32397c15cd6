"""Open a source of clips by its name."""

from __future__ import annotations

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.source import Example, Source, first_frame
from lumiere_jax.moving_shapes.dataset import MovingShapes


def open_source(config: DataConfig) -> Source:
    """Open the source that `config.source` names.

    Raises:
      ValueError: the kind of source is unknown, or its clips have other frames or another size.
      FileNotFoundError: the folder does not exist.
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


class ShapesSource:
    """The synthetic set, rendered while it is read."""

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
        """Render a scene, or some of its frames; see `Source.read`."""
        shapes, caption = self._shapes, self._shapes.caption(record)
        if moment is None:
            return Example(shapes.clip(record), caption)
        start = first_frame(moment, frames, shapes.frames)
        return Example(shapes.segment(record, start, start + frames), caption)
