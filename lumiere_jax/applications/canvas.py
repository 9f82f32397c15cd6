"""The larger canvas of outpainting, and where on it the video lies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from lumiere_jax.applications.media import Clip, resized

Padding = tuple[float, float, float, float]
"""Pixels of the video to add to its left, top, right and bottom."""


class Canvas(NamedTuple):
    """Sizes and places in pixels of the result."""

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
    """A canvas whose short side is `size`, and whose long side is a multiple of `unit`.

    Args:
      height, width: of the video.
      size: of the model's result.
      unit: see `Cascade.unit`.
      padding: what to add to the video; or
      aspect: width over height of the canvas, the whole video in its middle.

    Raises:
      ValueError: neither or both, negative padding, or nothing to add.
    """
    if (padding is None) == (aspect is None):
        raise ValueError(
            "outpainting needs --aspect=16:9, or --padding=left,top,right,bottom in pixels of the "
            "video; give one of the two"
        )
    if padding is None:
        padding = _to_aspect(height, width, aspect)
    left, top, right, bottom = padding
    if min(padding) < 0 or not any(padding):
        raise ValueError(
            f"--padding={','.join(f'{p:g}' for p in padding)} must add something, and take nothing "
            "away: try another --aspect, or --padding=64,0,64,0"
        )
    full_height, full_width = height + top + bottom, width + left + right
    scale = size / min(full_height, full_width)
    rows, columns = (
        max(round(side * scale / unit), size // unit) * unit for side in (full_height, full_width)
    )
    # Rounding the canvas must not stretch the video: what is left over goes to the border.
    video_height = min(max(round(height * scale), 1), rows)
    video_width = min(max(round(width * scale), 1), columns)
    if (video_height, video_width) == (rows, columns):
        raise ValueError(
            f"the canvas has {columns}×{rows} pixels, all of them the video's: add more than "
            f"{unit} pixels of the result with --padding or --aspect"
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
    """The clip on its canvas (grey where nothing is known), and where it is."""
    rows = slice(canvas.top, canvas.top + canvas.video_height)
    columns = slice(canvas.left, canvas.left + canvas.video_width)
    painted = np.full((len(clip), canvas.height, canvas.width, 3), 127, np.uint8)
    painted[:, rows, columns] = resized(clip, canvas.video_height, canvas.video_width)
    known = np.zeros((canvas.height, canvas.width), bool)
    known[rows, columns] = True
    return painted, known


def _to_aspect(height: int, width: int, aspect: float) -> Padding:
    if not 0.1 <= aspect <= 10:
        raise ValueError(f"--aspect={aspect:g} is outside [0.1, 10]; try --aspect=16:9")
    wider, higher = max(height * aspect - width, 0) / 2, max(width / aspect - height, 0) / 2
    return (wider, higher, wider, higher)


def _share(before: float, after: float, pixels: int) -> int:
    """Of the border's pixels, those before the video."""
    return round(pixels * before / (before + after)) if before + after else pixels // 2
