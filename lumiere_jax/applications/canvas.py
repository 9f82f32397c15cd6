"""The larger canvas of outpainting, and the position of the video on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from lumiere_jax.applications.media import Clip, resized

Padding = tuple[float, float, float, float]
"""Pixels of the video to add to its left, top, right and bottom."""
ASPECTS = (0.1, 10)  # width over height of a canvas: memory grows with its long side
LARGEST = 8  # most padding on each side, in widths or heights of the video


class Canvas(NamedTuple):
    """Sizes of canvas and video, and position of the video, in pixels of the result."""

    height: int
    width: int
    top: int
    left: int
    video_height: int
    video_width: int


def plan_canvas(
    height: int,
    width: int,
    size: int,
    unit: int,
    *,
    padding: Padding | None = None,
    aspect: float | None = None,
) -> Canvas:
    """Return a canvas whose short side is `size`, and whose long side is a multiple of `unit`.

    Args:
      height, width: size of the video in pixels.
      size: short side of the model's result in pixels.
      unit: number that divides the sides of the canvas, from `Cascade.unit`.
      padding: pixels of the video to add on each of its sides; None if `aspect` is given.
      aspect: width over height of a canvas with the video in its middle; None if `padding` is
        given.

    Raises:
      ValueError: neither or both are given, nothing is added, or the canvas is too large.
    """
    if (padding is None) == (aspect is None):
        raise ValueError(
            "outpainting needs --aspect=16:9, or --padding=left,top,right,bottom in pixels of the "
            "video; give one of the two"
        )
    if padding is None:
        given, padding = "--aspect", _to_aspect(height, width, aspect)
    else:
        given = "--padding"
        _check_padding(padding, height, width)
    left, top, right, bottom = padding
    full_height, full_width = height + top + bottom, width + left + right
    scale = size / min(full_height, full_width)
    rows, columns = (
        max(round(side * scale / unit), size // unit) * unit for side in (full_height, full_width)
    )
    # Rounding the canvas must not stretch the video: the remainder goes to the border.
    video_height = min(max(round(height * scale), 1), rows)
    video_width = min(max(round(width * scale), 1), columns)
    if (video_height, video_width) == (rows, columns):
        raise ValueError(
            f"{given}: the canvas has {columns}×{rows} pixels, all of them the video's; add more "
            f"than {unit} pixels of the result"
        )
    return Canvas(
        rows,
        columns,
        _share(top, bottom, rows - video_height),
        _share(left, right, columns - video_width),
        video_height,
        video_width,
    )


def place(
    clip: Clip, canvas: Canvas
) -> tuple[UInt8[np.ndarray, "t height width 3"], Bool[np.ndarray, "height width"]]:
    """Return the clip on its canvas, grey elsewhere, and the mask of its pixels."""
    rows = slice(canvas.top, canvas.top + canvas.video_height)
    columns = slice(canvas.left, canvas.left + canvas.video_width)
    painted = np.full((len(clip), canvas.height, canvas.width, 3), 127, np.uint8)
    painted[:, rows, columns] = resized(clip, canvas.video_height, canvas.video_width)
    known = np.zeros((canvas.height, canvas.width), bool)
    known[rows, columns] = True
    return painted, known


def _check_padding(padding: Padding, height: int, width: int) -> None:
    """Raise a ValueError unless the padding adds pixels, and not too many for the video."""
    shown = ",".join(map(str, padding))
    if len(padding) != 4 or not all(isinstance(p, int | float | np.number) for p in padding):
        raise ValueError(f"--padding={shown}: give left,top,right,bottom in pixels")
    shown = ",".join(f"{p:g}" for p in padding)
    # A far larger canvas has little of the video to follow, and memory grows with its size.
    most = tuple(LARGEST * side for side in (width, height, width, height))
    if not all(0 <= added <= bound for added, bound in zip(padding, most)) or not any(padding):
        raise ValueError(
            f"--padding={shown} must add something, and take nothing away, up to {most[0]} pixels "
            f"at the sides and {most[1]} above and below (the video's {LARGEST} times): try "
            "--padding=64,0,64,0"
        )
    left, top, right, bottom = padding
    aspect = (width + left + right) / (height + top + bottom)
    if not ASPECTS[0] <= aspect <= ASPECTS[1]:
        raise ValueError(
            f"--padding={shown} makes a canvas whose width is {aspect:.3g} times its height; "
            f"between {ASPECTS[0]} and {ASPECTS[1]} it can be made"
        )


def _to_aspect(height: int, width: int, aspect: float) -> Padding:
    if not ASPECTS[0] <= aspect <= ASPECTS[1]:
        raise ValueError(
            f"--aspect={aspect:g} is outside [{ASPECTS[0]}, {ASPECTS[1]}]; try --aspect=16:9"
        )
    wider, higher = max(height * aspect - width, 0) / 2, max(width / aspect - height, 0) / 2
    if not wider and not higher:
        raise ValueError(
            f"--aspect={aspect:g} is the video's own ({width}×{height}): it must add something; "
            "try another --aspect, or --padding=64,0,64,0"
        )
    return (wider, higher, wider, higher)


def _share(before: float, after: float, pixels: int) -> int:
    """Return the number of the border's pixels before the video, in proportion to the padding."""
    return round(pixels * before / (before + after)) if before + after else pixels // 2
