"""The synthetic captioned set: moving coloured shapes, rendered when they are read.

    shapes = MovingShapes(frames=80, size=32)
    shapes.clip(7)     # uint8 [80, 32, 32, 3]
    shapes.caption(7)  # "a red circle bounces on a dark background"
    shapes.scene(7)    # the ground truth

`shapes.measure_scene` measures what a generated clip shows, and about a fifth of all combinations
never occurs in training (`heldout_prompts`).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import UInt8

from lumiere_jax.moving_shapes.captions import caption, heldout_prompts, prompt, read_caption
from lumiere_jax.moving_shapes.rendering import render, render_frame, render_segment
from lumiere_jax.moving_shapes.scenes import (
    SPLITS,
    Attributes,
    Scene,
    combinations,
    place,
    sample_scene,
)

__all__ = [
    "Attributes",
    "MovingShapes",
    "Scene",
    "caption",
    "combinations",
    "heldout_prompts",
    "place",
    "prompt",
    "read_caption",
    "render",
    "render_frame",
    "render_segment",
    "sample_scene",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingShapes:
    """A set of `examples` scenes; scene `index` is the same at every size and frame count.

    Attributes:
      frames: frames of a clip; any number of them spans the whole motion.
      size: height and width in pixels.
      split: "train" or "heldout" combinations.
      seed: seed of the scenes; other seeds give other sets.
      examples: number of scenes.

    Raises:
      ValueError: a field is out of range.
    """

    frames: int = 80
    size: int = 128
    split: str = "train"
    seed: int = 0
    examples: int = 100_000

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(f"split={self.split!r}: the synthetic set has {' and '.join(SPLITS)}")
        for name, least, good in (("frames", 1, 80), ("size", 8, 32), ("examples", 1, 100_000)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name}={getattr(self, name)}: the synthetic set needs at least {least}; "
                    f"{good} is a good value"
                )

    def __len__(self) -> int:
        return self.examples

    def scene(self, index: int) -> Scene:
        """Return the ground truth of scene `index`."""
        return sample_scene(self.seed, index, self.split)

    def caption(self, index: int) -> str:
        """Return a caption of scene `index`, in one of several phrasings."""
        return caption(self.scene(index).attributes, np.random.default_rng((self.seed, index, 1)))

    def clip(self, index: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Render all frames of scene `index`."""
        return render(self.scene(index), self.frames, self.size)

    def frame(self, index: int, frame: int) -> UInt8[np.ndarray, "h w 3"]:
        """Render one frame of scene `index`, without the others."""
        return render_frame(self.scene(index), frame, self.frames, self.size)

    def segment(self, index: int, start: int, stop: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Render frames `start` to `stop` (exclusive) of scene `index`, without the others."""
        return render_segment(self.scene(index), self.frames, self.size, start, stop)
