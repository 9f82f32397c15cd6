"""Read masks (pictures, animations, videos and arrays) as one region.

White is the region. The same rules apply to every kind of mask:
  - a pixel belongs to the region if its mean over the channels is above half of the full scale;
  - values of 0 and 1 only (labels) are read as black and white; except in a video file, whose
    compression leaves such values in black;
  - if parts are transparent, only opaque pixels (alpha above half) can belong to the region. If
    they are all white or all of one colour, they are the region; if they are black and white, the
    white ones are. Anything else is refused as a picture with a hole, not a mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from lumiere_jax.applications.media import (
    check_path,
    is_array,
    named,
    open_clip,
    open_frames,
    open_pixels,
    resampled,
)
from lumiere_jax.video.animations import is_animated, picture_format
from lumiere_jax.video.pixels import Pixels, array_pixels

FLAG = "--mask"
SAME_COLOUR = 12.0  # largest standard deviation of one colour's levels in lossy files
BETWEEN = (64, 191)  # levels that are neither black nor white
MOST_BETWEEN = 0.25  # largest fraction of such levels among opaque pixels: soft edges have them


class _Paint(NamedTuple):
    """Level (mean of the channels) and alpha of every pixel, and the lightest colour."""

    level: UInt8[np.ndarray, "t h w"]
    alpha: UInt8[np.ndarray, "t h w"] | None
    lightest: tuple[int, int, int]


def open_mask(
    mask: Any, shape: tuple[int, int, int], frame_rate: float
) -> Bool[np.ndarray, "t h w"]:
    """Read a mask as booleans, of one frame or of as many as the clip.

    Args:
      mask: a path or PIL image (a picture, or an animated GIF, WebP or PNG), the path of a video,
        a list of pictures, or an array [h, w], [t, h, w], [h, w, c], [t, h, w, c]. Frames after
        the clip's last one are ignored.
      shape: [t, h, w] of the clip; t = 1 for an image.
      frame_rate: frames per second to which animations and videos are resampled.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a mask of another size or shorter than the clip, an empty one, or not a mask.
    """
    paint = _opened(mask, shape, frame_rate)
    if len(paint.level) != 1 and len(paint.level) < shape[0]:
        raise ValueError(
            f"--mask has {len(paint.level)} frames and the clip {shape[0]}: use a mask as long as "
            f"it, or --frames={len(paint.level)}"
        )
    level = paint.level[: shape[0]]
    region = level > 127 if paint.alpha is None else _painted(level, paint.alpha[: shape[0]])
    if not region.any():
        raise ValueError(
            f"--mask marks nothing: its largest value is {level.max()} of 255"
            f"{_say_colour(paint.lightest)}; paint white the region to generate or to move"
        )
    return region


def _opened(mask: Any, shape: tuple[int, int, int], frame_rate: float) -> _Paint:
    """Read the mask's frames, comparing the size before the second frame is decoded."""
    if isinstance(mask, list | tuple):
        return _paint([open_frames(mask[: shape[0]], FLAG, labels=True)], shape)
    if is_array(mask):
        return _paint([_array(np.asarray(mask), shape)], shape)
    if not isinstance(mask, Image.Image):
        check_path(mask, FLAG, "mask.png")
    with named(FLAG):
        moving = is_animated(mask)
        video = not isinstance(mask, Image.Image) and not picture_format(mask)
    if moving:
        with named(FLAG):
            return _paint(itertools.islice(resampled(mask, frame_rate), shape[0]), shape)
    if not video:
        return _paint([open_pixels(mask, FLAG, labels=True)], shape)
    first = open_clip(mask, frame_rate=frame_rate, frames=1, flag=FLAG)
    _check_size(first.shape[1:3], shape)
    clip = open_clip(mask, frame_rate=frame_rate, frames=shape[0], flag=FLAG)
    return _paint((Pixels(frame, None) for frame in clip), shape, labels=False)


def _array(mask: np.ndarray, shape: tuple[int, int, int]) -> Pixels:
    """Return an array as pixels, distinguishing [t, h, w] from [h, w, c] by the clip's size."""
    if mask.ndim not in (2, 3, 4):
        raise ValueError(f"--mask: an array of shape {mask.shape}, expected [h, w] or [t, h, w]")
    pictures = mask.shape[:2] == shape[1:] or mask.shape[-1] <= 4
    if mask.ndim == 3 and (mask.shape[1:] == shape[1:] or not pictures):
        mask = mask[..., None]
    return array_pixels(mask, max(mask.ndim, 3), FLAG, labels=True)


def _paint(frames: Iterable[Pixels], shape: tuple[int, int, int], labels: bool = True) -> _Paint:
    """Reduce frames [h, w, 3] or clips [t, h, w, 3] to one or two bytes per pixel."""
    levels, alphas, lightest = [], [], (0, 0, 0)
    for pixels in frames:
        _check_size(pixels.colour.shape[-3:-1], shape)
        for number, colour in enumerate(pixels.colour.reshape(-1, *pixels.colour.shape[-3:])):
            total = colour.sum(-1, dtype=np.uint16)
            place = np.unravel_index(total.argmax(), total.shape)
            lightest = max(lightest, tuple(colour[place].tolist()), key=sum)
            levels.append(((total + 2) // 3).astype(np.uint8))
            alpha = pixels.alpha if pixels.alpha is None else pixels.alpha.reshape(-1, *shape[1:])
            alphas.append(None if alpha is None else alpha[number])
    level = np.stack(levels)
    if labels and level.max() == 1:
        level = level * np.uint8(255)
    if all(alpha is None for alpha in alphas):
        return _Paint(level, None, lightest)
    opaque = np.full(shape[1:], 255, np.uint8)
    return _Paint(level, np.stack([opaque if a is None else a for a in alphas]), lightest)


def _painted(level: np.ndarray, alpha: np.ndarray) -> Bool[np.ndarray, "t h w"]:
    """Return the region of a mask with transparent parts; see the module's rules."""
    painted = alpha > 127
    if not painted.any():
        raise ValueError(
            f"--mask marks nothing: no pixel is opaque (the largest alpha is {alpha.max()} of 255);"
            " paint white the region to generate or to move"
        )
    levels = level[painted]
    light, dark = levels > 127, levels <= 127
    if light.all() or levels.std() <= SAME_COLOUR:
        return painted
    between = ((levels > BETWEEN[0]) & (levels < BETWEEN[1])).mean()
    if between > MOST_BETWEEN:
        raise ValueError(
            "--mask is transparent in parts, and the rest holds many colours, as a picture with a "
            "hole does; paint white on black the region to generate or to move"
        )
    return painted if dark.all() else painted & (level > 127)


def _check_size(found: tuple[int, int], shape: tuple[int, int, int]) -> None:
    if tuple(found) != tuple(shape[1:]):
        raise ValueError(
            f"--mask is {found[1]}×{found[0]} pixels and the picture {shape[2]}×{shape[1]}: draw "
            "it on the picture as it is"
        )


def _say_colour(colour: tuple[int, int, int]) -> str:
    return "" if len(set(colour)) == 1 else f", its lightest colour {colour}"
