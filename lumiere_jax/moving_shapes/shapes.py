"""Measure what a clip of the synthetic set shows from its pixels, for prompt accuracy.

No learned network is used: colour is a direction in colour space, shape the best of five outlines,
motion the object's path, background its brightness and pattern.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from lumiere_jax.moving_shapes.captions import read_caption
from lumiere_jax.moving_shapes.motions import name_direction, name_motion
from lumiere_jax.moving_shapes.objects import count_objects, find_object
from lumiere_jax.moving_shapes.outlines import name_shape
from lumiere_jax.moving_shapes.rendering import CHECKER_CONTRAST, checker
from lumiere_jax.moving_shapes.scenes import Attributes

WORKING_SIZE = 64  # pixels per side; larger clips are downsampled to it first
TRAIL_FREE = 0.08  # fraction of the object's colour below which a pixel is background
DARK, LIGHT = 75, 175  # grey levels between which a background is grey


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Content measured in a clip; None for a word that nothing fits.

    Attributes:
      colour: colour of the object, a key of `COLOURS`.
      shape: shape of the object, one of `SHAPES`.
      motion: motion of the object, one of `MOTIONS`.
      background: background, one of `BACKGROUNDS`.
      objects: number of separate objects in each frame.
    """

    colour: str | None
    shape: str | None
    motion: str | None
    background: str
    objects: tuple[int, ...]

    @property
    def one_object(self) -> bool:
        """Return whether every frame shows exactly one object."""
        return all(count == 1 for count in self.objects)

    def agrees(self, attributes: Attributes) -> dict[str, bool]:
        """Return for each of the four words, and "one_object", whether the clip agrees with it."""
        words = dataclasses.asdict(attributes)
        agreement = {name: getattr(self, name) == word for name, word in words.items()}
        return agreement | {"one_object": self.one_object}


def measure_scene(video: UInt8[np.ndarray, "t h w 3"]) -> Measured:
    """Measure colour, shape, motion and background of a clip of moving shapes.

    Args:
      video: whole clip of eight or more frames, square, of 16 pixels per side or more.

    Raises:
      ValueError: the video has another type or shape.
    """
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[1] != video.shape[2]:
        raise ValueError(
            f"video: {video.dtype} {video.shape}; expected uint8 [t, h, w, 3] with h == w"
        )
    video = _shrink(video)
    found = find_object(video)
    motion = name_motion(found.present)
    return Measured(
        colour=found.colour,
        shape=name_shape(found.present, turned=motion in ("spin", None)),
        motion=motion,
        background=_name_background(video, found.coloured),
        objects=count_objects(found.present),
    )


def measure_frame(frame: UInt8[np.ndarray, "h w 3"]) -> Measured:
    """Measure one frame of such a clip; its motion is the direction in which the trail points.

    A frame shows straight motions only (`motions.STRAIGHT`): for any other motion the direction is
    meaningless.

    Args:
      frame: frame, square, of 16 pixels per side or more.

    Raises:
      ValueError: the frame has another type or shape.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[0] != frame.shape[1]:
        raise ValueError(
            f"frame: {frame.dtype} {frame.shape}; expected uint8 [h, w, 3] with h == w"
        )
    video = _shrink(frame[None])
    found = find_object(video)
    return Measured(
        colour=found.colour,
        shape=name_shape(found.present, turned=True),
        motion=name_direction(found),
        background=_name_background(video, found.coloured),
        objects=count_objects(found.present),
    )


def prompt_accuracy(
    videos: Sequence[UInt8[np.ndarray, "t h w 3"]], prompts: Sequence[str]
) -> dict[str, float]:
    """Return the fraction of clips that show what their prompt says, by word.

    Raises:
      ValueError: the counts differ or are 0, or a prompt is not of the synthetic set's grammar.
    """
    if len(videos) != len(prompts) or not len(prompts):
        raise ValueError(f"videos and prompts: {len(videos)} and {len(prompts)}; expected as many")
    rows = [measure_scene(v).agrees(read_caption(p)) for v, p in zip(videos, prompts)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _shrink(video: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t i j 3"]:
    frames, size = video.shape[:2]
    factor = size // WORKING_SIZE
    if factor < 2 or size % factor:
        return video
    blocks = video.reshape(frames, size // factor, factor, size // factor, factor, 3)
    return (blocks.mean((2, 4), dtype=np.float32) + 0.5).astype(np.uint8)


def _name_background(video: np.ndarray, coloured: Float[np.ndarray, "t h w"]) -> str:
    free = (np.abs(coloured) < TRAIL_FREE).astype(np.float32)
    grey = (video.mean(-1, dtype=np.float32) * free).sum(0) / np.maximum(free.sum(0), 1)
    seen = free.sum(0) > 0
    board = checker(video.shape[1])
    fields = seen & (board > 0), seen & (board < 0)
    if all(field.any() for field in fields):
        contrast = grey[fields[0]].mean() - grey[fields[1]].mean()
        if contrast > CHECKER_CONTRAST / 3:
            return "checkered"
    level = np.median(grey[seen]) if seen.any() else video.mean()
    return "dark" if level < DARK else "light" if level > LIGHT else "grey"
