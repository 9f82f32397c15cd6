"""Regions that a user draws: mask images and videos, boxes, polygons, in pixels of the picture.

Regions are what is to be made or to move; everything else is kept. Several are one region together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Bool
from PIL import Image, ImageDraw

from lumiere_jax.applications.media import crop_region, open_clip, open_image

Region = Bool[np.ndarray, "t h w"]
Box = Sequence[float]
Polygon = Sequence[Sequence[float]]
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts")


def open_region(
    shape: tuple[int, int, int],
    size: int,
    *,
    frame_rate: float,
    mask: Any = None,
    boxes: Sequence[Box] = (),
    polygons: Sequence[Polygon] = (),
) -> Bool[np.ndarray, "t size size"]:
    """The region on a clip, fitted as the clip is.

    Args:
      shape: [t, h, w] of the clip before it is fitted; t = 1 for an image.
      size: of the square that it is fitted to.
      frame_rate: that mask videos are resampled to.
      mask: white where the region is: an image (path, PIL, [h, w] or [h, w, 3]), or a video of as
        many frames as the clip (path or [t, h, w]).
      boxes: (left, top, right, bottom) each.
      polygons: corners (x, y) each, three or more.

    Raises:
      ValueError: no region, one that is empty or everything, of another size, or off the picture.
    """
    if mask is None and not len(boxes) and not len(polygons):
        raise ValueError(
            "--mask is missing: paint the region white on black (--mask=mask.png), or give "
            "--box=left,top,right,bottom or --polygon=x,y,x,y,x,y"
        )
    region = np.zeros(shape, bool)
    if mask is not None:
        region |= _opened_mask(mask, shape, frame_rate)
    for box in boxes:
        region |= _box(box, *shape[1:])
    for polygon in polygons:
        region |= _polygon(polygon, *shape[1:])
    _check(region, "")
    fitted = crop_region(region, size)
    _check(fitted, " within the centre square that is kept")
    return fitted


def _check(region: Region, where: str) -> None:
    if not region.any():
        raise ValueError(f"--mask marks nothing{where}: paint white what is to be made or to move")
    if region.all():
        raise ValueError(f"--mask marks everything{where}: leave black what is to be kept")


def _opened_mask(mask: Any, shape: tuple[int, int, int], frame_rate: float) -> Region:
    """As booleans [t or 1, h, w], of the clip's size."""
    if isinstance(mask, np.ndarray) and mask.shape[-1] != 3:
        region = mask > (0 if mask.dtype == bool else 127)
        region = region if region.ndim == 3 else region[None]
    elif _is_video(mask):
        clip = open_clip(mask, frame_rate=frame_rate, frames=shape[0], flag="--mask")
        region = clip.mean(-1) > 127
    else:
        region = open_image(mask, "--mask").mean(-1)[None] > 127
    if region.shape[1:] != shape[1:]:
        raise ValueError(
            f"--mask is {region.shape[2]}×{region.shape[1]} pixels and the picture "
            f"{shape[2]}×{shape[1]}: draw it on the picture as it is"
        )
    if len(region) not in (1, shape[0]) and len(region) < shape[0]:
        raise ValueError(
            f"--mask has {len(region)} frames and the clip {shape[0]}: use a mask as long as it, "
            f"or --frames={len(region)}"
        )
    return region[: shape[0]]


def _is_video(mask: Any) -> bool:
    if isinstance(mask, np.ndarray):
        return mask.ndim == 4
    return (isinstance(mask, str) or hasattr(mask, "__fspath__")) and _suffix(mask) in VIDEOS


def _suffix(path: Any) -> str:
    return epath.Path(path).suffix.lower()


def _box(box: Box, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    if len(box) != 4:
        raise ValueError(f"--box={_joined(box)}: give left,top,right,bottom in pixels")
    left, top, right, bottom = (round(value) for value in box)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f"--box={_joined(box)} is no box on a picture of {width}×{height} pixels; the whole "
            f"of it is --box=0,0,{width},{height}"
        )
    region = np.zeros((height, width), bool)
    region[top:bottom, left:right] = True
    return region


def _polygon(corners: Polygon, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    if len(corners) < 3:
        raise ValueError(f"--polygon={_joined(corners)}: give at least three corners, x,y each")
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in corners], fill=1, outline=1)
    return np.asarray(canvas)


def _joined(values: Any) -> str:
    return ",".join(f"{value:g}" for value in np.ravel(values))
