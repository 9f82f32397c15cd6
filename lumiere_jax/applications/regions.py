"""Regions that a user draws: mask images and videos, boxes, polygons, in pixels of the picture.

A region is generated or moves; all other pixels are kept. Several regions are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from lumiere_jax.applications.masks import open_mask
from lumiere_jax.applications.media import crop_region

Region = Bool[np.ndarray, "t h w"]
Box = Sequence[float]
Polygon = Sequence[Sequence[float]]
FARTHEST = 16  # largest absolute coordinate of a corner, in long sides of the picture


def open_region(
    shape: tuple[int, int, int],
    size: int,
    *,
    frame_rate: float,
    mask: Any = None,
    boxes: Sequence[Box] = (),
    polygons: Sequence[Polygon] = (),
) -> Bool[np.ndarray, "t size size"]:
    """Return the region on a clip, fitted to the model's size as the clip is.

    Args:
      shape: [t, h, w] of the clip before it is fitted; t = 1 for an image.
      size: pixels per side of the square that the clip is fitted to.
      frame_rate: frames per second to which mask videos are resampled.
      mask: mask, white in the region: a picture, or a video of as many frames as the clip; see
        `masks.open_mask`.
      boxes: boxes (left, top, right, bottom), in pixels of the clip.
      polygons: lists of three or more corners (x, y), in pixels of the clip.

    Raises:
      ValueError: no region, one that is empty, everything or off the picture, or a mask of another
        size.
    """
    if mask is None and not len(boxes) and not len(polygons):
        raise ValueError(
            "--mask is missing: paint the region white on black (--mask=mask.png), or give "
            "--box=left,top,right,bottom or --polygon=x,y,x,y,x,y"
        )
    flag = "--mask" if mask is not None else "--box" if len(boxes) else "--polygon"
    region = np.zeros(shape, bool)
    if mask is not None:
        region |= open_mask(mask, shape, frame_rate)
    for box in boxes:
        region |= _box(box, *shape[1:])
    for polygon in polygons:
        region |= _polygon(polygon, *shape[1:])
    _check(region, flag, "")
    fitted = crop_region(region, size)
    _check(fitted, flag, " within the centre square that is kept")
    return fitted


def _check(region: Region, flag: str, where: str) -> None:
    paint, leave = ("paint white", "leave black") if flag == "--mask" else ("mark", "leave out")
    if not region.any():
        raise ValueError(f"{flag} marks nothing{where}: {paint} the region to generate or to move")
    if region.all():
        raise ValueError(f"{flag} marks everything{where}: {leave} the pixels to keep")


def _box(box: Box, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    places = _places(box, "--box", height, width)
    if places.shape != (4,):
        raise ValueError(f"--box={_joined(box)}: give left,top,right,bottom in pixels")
    left, top, right, bottom = places.round().astype(int)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f"--box={_joined(box)} is not a box on a picture of {width}×{height} pixels; the whole "
            f"picture is --box=0,0,{width},{height}"
        )
    region = np.zeros((height, width), bool)
    region[top:bottom, left:right] = True
    return region


def _polygon(corners: Polygon, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    places = _places(corners, "--polygon", height, width)
    if places.ndim != 2 or places.shape[1] != 2 or len(places) < 3:
        raise ValueError(f"--polygon={_joined(corners)}: give at least three corners, x,y each")
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([(x, y) for x, y in places.tolist()], fill=1, outline=1)
    return np.asarray(canvas)


def _places(values: Any, flag: str, height: int, width: int) -> Float[np.ndarray, "..."]:
    """Return coordinates in pixels; raise a ValueError for others than finite, moderate numbers."""
    farthest = FARTHEST * max(height, width)
    try:
        places = np.asarray(values, float)
        near = (abs(places) <= farthest).all()  # NaN is not
    except (TypeError, ValueError, OverflowError):
        near = False
    if not near:
        raise ValueError(
            f"{flag}={_joined(values)}: every number is a coordinate in pixels, from -{farthest} "
            f"to {farthest} for a picture of {width}×{height}"
        )
    return places


def _joined(values: Any) -> str:
    if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str):
        return ",".join(map(_joined, values))
    if isinstance(values, int) and abs(values) > 10**9:
        return "a number of many digits"
    return f"{values:g}" if isinstance(values, int | float | np.number) else str(values)
