"""What people have (paths, NumPy, PIL) as frames of one size.

Pictures are fitted in one way everywhere: the short side is resized to the size of the result, and
the centre square kept. Regions go through the same crop, so they are drawn on the picture as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from lumiere_jax.video import ReadLimits, open_video, read_image, read_video, resize_and_crop

LIMITS = ReadLimits(max_seconds=3600.0)
FIT = "short side resized, centre square kept"
Picture = UInt8[np.ndarray, "h w 3"]
Clip = UInt8[np.ndarray, "t h w 3"]


def open_image(image: Any, flag: str = "--image") -> Picture:
    """A picture at its own size.

    Args:
      image: a path, a PIL image, or uint8 [h, w, 3].
      flag: how the user names it.

    Raises:
      FileNotFoundError: no such file.
      ValueError: nothing that can be shown, or larger than the limits.
    """
    if isinstance(image, Image.Image):
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    if isinstance(image, np.ndarray):
        return _checked(image, 3, flag)
    if image is None:
        raise ValueError(f"{flag} is missing: name a picture, such as {flag}=photo.jpg")
    with _named(flag):
        return read_image(image)


def open_clip(
    video: Any, *, frame_rate: float, frames: int | None = None, flag: str = "--video"
) -> Clip:
    """A clip at its own size, upright, with square pixels.

    Args:
      video: a path, uint8 [t, h, w, 3], or a list of pictures.
      frame_rate: that files are resampled to, by timestamp.
      frames: how many to read at most, from the start.
      flag: how the user names it.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a video, or larger than the limits.
    """
    if isinstance(video, list | tuple):
        video = np.stack([open_image(picture, flag) for picture in video])
    if isinstance(video, np.ndarray):
        return _checked(video, 4, flag)[:frames]
    if video is None:
        raise ValueError(f"{flag} is missing: name a video, such as {flag}=clip.mp4")
    with _named(flag):
        clip, _ = read_video(video, fps=frame_rate, frames=frames, limits=LIMITS)
        with open_video(video, LIMITS) as opened:
            aspect = opened.pixel_aspect
            sideways = clip.shape[1] == opened.width != opened.height
    if aspect == 1:
        return clip
    aspect = 1 / aspect if sideways else aspect
    return resized(clip, clip.shape[1], max(1, round(clip.shape[2] * aspect)))


def crop(clip: Clip, size: int) -> UInt8[np.ndarray, "t size size 3"]:
    """Every frame fitted to a square of `size` pixels."""
    return np.stack([resize_and_crop(frame, size) for frame in clip])


def crop_region(region: Bool[np.ndarray, "t h w"], size: int) -> Bool[np.ndarray, "t size size"]:
    """The region after the same fit; a pixel that it touches belongs to it."""
    height, width = region.shape[1:]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    options = {"resample": Image.Resampling.BOX, "box": box}
    frames = [
        Image.fromarray(frame.astype(np.float32)).resize((size, size), **options)
        for frame in region
    ]
    return np.stack([np.asarray(frame) > 1e-4 for frame in frames])


def resized(clip: Clip, height: int, width: int) -> UInt8[np.ndarray, "t height width 3"]:
    """Every frame at that size, antialiased."""
    options = {"size": (width, height), "resample": Image.Resampling.BICUBIC}
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize(**options)) for frame in map(_contiguous, clip)]
    )


def _contiguous(frame: Picture) -> Picture:
    return np.ascontiguousarray(frame)


def _checked(array: np.ndarray, dimensions: int, flag: str) -> np.ndarray:
    wanted = "[h, w, 3]" if dimensions == 3 else "[t, h, w, 3]"
    if array.ndim != dimensions or array.shape[-1] != 3 or not array.size:
        raise ValueError(f"{flag}: an array of shape {array.shape}, expected {wanted}")
    if array.dtype != np.uint8:
        raise ValueError(f"{flag}: an array of {array.dtype}, expected uint8 from 0 to 255")
    return array


@contextlib.contextmanager
def _named(flag: str) -> Iterator[None]:
    """Puts the flag before the message of an error about a file."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{flag}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from error


def describe(media: Any) -> Any:
    """What the recipe says of it: the path, or that it was an array."""
    if media is None:
        return None
    if isinstance(media, str) or hasattr(media, "__fspath__"):
        return str(media)
    size = getattr(media, "shape", None) or getattr(media, "size", None)
    return f"{type(media).__name__} {tuple(size) if size else len(media)}"
