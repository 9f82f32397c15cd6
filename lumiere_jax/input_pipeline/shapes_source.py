"""The synthetic set as a source of clips."""

from __future__ import annotations

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.moving_shapes import MovingShapes
from lumiere_jax.input_pipeline.source import Example, first_frame


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
