"""Draw masks of the observed pixels of training clips, a kind for each application of the model.

A mask is 1 where the conditional model observes the clip (Lumiere, section 4). Masks are pure
functions of a random generator, which the pipeline seeds with the data's seed, the record and the
position in the stream: a run has the same masks in any number of processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from lumiere_jax.structure import check_range

Region = Bool[np.ndarray, "h w"]
Rng = np.random.Generator
NUMBER = 3  # makes the seed's random numbers differ from those of scenes and captions


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskMixture:
    """Frequencies of the kinds of masks, relative to their sum; by what the model observes.

    Attributes:
      image_to_video: share of masks that observe the first frame.
      continuation: share of masks that observe the first or the last k frames.
      inpaint: share of masks that observe all but boxes or brush strokes, at rest or moving.
      cinemagraph: share of masks that observe the first frame everywhere at all times, except in a
        region that may move.
      outpaint: share of masks that observe all but a border.
      none: share of masks that observe nothing, so that the same model generates from text alone.
    """

    image_to_video: float = 0.3
    continuation: float = 0.1
    inpaint: float = 0.25
    cinemagraph: float = 0.15
    outpaint: float = 0.1
    none: float = 0.1

    def __post_init__(self):
        shares = dataclasses.asdict(self)
        for name, share in shares.items():
            check_range(f"data.masks.{name}", share, 0, 1e6)  # their sum stays finite
        if not sum(shares.values()):
            raise ValueError("data.masks: all shares are 0; set data.masks.none=1 for no masks")


class Mask(NamedTuple):
    """The observed part of one clip.

    Attributes:
      mask: True where the clip is observed.
      still: True if the observed video is the clip's first frame, repeated (cinemagraph).
    """

    mask: Bool[np.ndarray, "t h w 1"]
    still: bool = False


def draw_mask(mixture: MaskMixture, rng: Rng, frames: int, height: int, width: int) -> Mask:
    """Draw the mask of one clip of that many frames, and height and width in pixels."""
    shares = dataclasses.asdict(mixture)
    chance = np.array(list(shares.values())) / sum(shares.values())
    return KINDS[list(shares)[rng.choice(len(chance), p=chance)]](rng, (frames, height, width))


def mask_of(
    mixture: MaskMixture, seed: int, record: int, position: int, shape: tuple[int, ...]
) -> Mask:
    """Return the mask of a clip at a position of the stream of clips.

    Args:
      mixture: frequencies of the kinds of masks.
      seed: seed of the data.
      record: number of the clip in its source.
      position: position in the stream, over all processes and epochs.
      shape: shape of the clip, [t, h, w, c].
    """
    rng = np.random.default_rng((seed, NUMBER, record, position))
    return draw_mask(mixture, rng, *shape[:3])


def image_to_video(rng: Rng, shape) -> Mask:
    """Observe the first frame."""
    mask = np.zeros((*shape, 1), bool)
    mask[0] = True
    return Mask(mask)


def continuation(rng: Rng, shape) -> Mask:
    """Observe the first k frames or the last k, up to half of the clip."""
    k = int(rng.integers(1, max(shape[0] // 2, 1) + 1))
    mask = np.zeros((*shape, 1), bool)
    mask[slice(0, k) if rng.random() < 0.5 else slice(-k, None)] = True
    return Mask(mask)


def inpaint(rng: Rng, shape) -> Mask:
    """Observe all but one to three boxes or strokes of a brush; half of these masks move."""
    frames, height, width = shape
    region = strokes(rng, height, width) if rng.random() < 0.5 else boxes(rng, height, width)
    if rng.random() < 0.5:
        moving = np.repeat(region[None], frames, axis=0)
    else:
        moving = moved(region, rng.uniform(-0.5, 0.5, 2) * (height, width), frames)
    return Mask(~moving[..., None])


def outpaint(rng: Rng, shape) -> Mask:
    """Observe a rectangle, and not the borders beside it, above and below it, or around it."""
    _, height, width = shape
    kind = rng.integers(3)
    rows = slice(0, height) if kind == 0 else _interval(rng, height, 0.4, 0.9)
    columns = slice(0, width) if kind == 1 else _interval(rng, width, 0.4, 0.9)
    mask = np.zeros((*shape, 1), bool)
    mask[:, rows, columns] = True
    return Mask(mask)


def cinemagraph(rng: Rng, shape) -> Mask:
    """Observe the still everywhere in the first frame, and outside of a region in the others."""
    frames, height, width = shape
    region = strokes(rng, height, width) if rng.random() < 0.5 else boxes(rng, height, width)
    mask = np.repeat(~region[None, ..., None], frames, axis=0)
    mask[0] = True
    return Mask(mask, still=True)


def none(rng: Rng, shape) -> Mask:
    """Observe nothing."""
    return Mask(np.zeros((*shape, 1), bool))


KINDS: dict[str, Callable[[Rng, tuple[int, int, int]], Mask]] = {
    "image_to_video": image_to_video,
    "continuation": continuation,
    "inpaint": inpaint,
    "cinemagraph": cinemagraph,
    "outpaint": outpaint,
    "none": none,
}


def boxes(rng: Rng, height: int, width: int) -> Region:
    """Draw one to three rectangles with sides of 0.2 to 0.7 of the frame's."""
    region = np.zeros((height, width), bool)
    for _ in range(rng.integers(1, 4)):
        region[_interval(rng, height, 0.2, 0.7), _interval(rng, width, 0.2, 0.7)] = True
    return region


def strokes(rng: Rng, height: int, width: int) -> Region:
    """Draw one to three curved strokes of a round brush, 0.1 to 0.3 of the frame wide."""
    region = np.zeros((height, width), bool)
    scale = min(height, width)
    for _ in range(rng.integers(1, 4)):
        angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.9, 2) * (height, width)
        radius = max(rng.uniform(0.05, 0.15) * scale, 0.71)  # at least a pixel
        for _ in range(rng.integers(3, 8)):
            angle += rng.uniform(-1, 1)
            step = rng.uniform(0.1, 0.25) * scale * np.array([np.sin(angle), np.cos(angle)])
            following = np.clip(place + step, 0, (height - 1, width - 1))
            region |= _distance(place, following, height, width) <= radius
            place = following
    return region


def moved(region: Region, travel: Float[np.ndarray, "2"], frames: int) -> Bool[np.ndarray, "t h w"]:
    """Move a region by `travel` pixels (down, right) over the clip, in place at its middle."""
    steps = np.arange(frames) / max(frames - 1, 1) - 0.5
    shifts = np.round(steps[:, None] * travel).astype(int)
    return np.stack([_shifted(region, down, right) for down, right in shifts])


def _shifted(region: Region, down: int, right: int) -> Region:
    height, width = region.shape
    down, right = np.clip(down, -height, height), np.clip(right, -width, width)
    padded = np.pad(region, ((height, height), (width, width)))
    return padded[height - down : 2 * height - down, width - right : 2 * width - right]


def _interval(rng: Rng, length: int, least: float, most: float) -> slice:
    size = min(max(round(rng.uniform(least, most) * length), 1), length)
    start = int(rng.integers(0, length - size + 1))
    return slice(start, start + size)


def _distance(start, end, height: int, width: int) -> Float[np.ndarray, "h w"]:
    """Return the distance of each pixel from the line between two points, in pixels."""
    grid = np.stack(np.mgrid[:height, :width], -1) - start
    line = end - start
    along = np.clip(grid @ line / max(line @ line, 1e-9), 0, 1)
    return np.linalg.norm(grid - along[..., None] * line, axis=-1)
