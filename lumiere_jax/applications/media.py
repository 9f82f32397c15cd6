"""Read users' media (paths, NumPy arrays, PIL images) as frames of one size.

All of it is read by `video.images`, `video.animations` and `video.pixels`, so that the path, the
PIL image and the array of a picture give the same pixels. Pictures are always fitted in the same
way: the short side is resized to the size of the result, and the centre square is kept. Regions are
cropped in the same way, so users draw them on the original picture.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from lumiere_jax.video.animations import TICK, is_animated, picture_format, read_animation
from lumiere_jax.video.images import image_pixels, read_pixels
from lumiere_jax.video.limits import ReadLimits
from lumiere_jax.video.pixels import Pixels, array_pixels
from lumiere_jax.video.read import collect, read_video
from lumiere_jax.video.resample import resample
from lumiere_jax.video.resize import resize_and_crop

LIMITS = ReadLimits(max_seconds=3600.0)
FIT = "short side resized, centre square kept"
Picture = UInt8[np.ndarray, "h w 3"]
Clip = UInt8[np.ndarray, "t h w 3"]


def open_image(image: Any, flag: str = "--image") -> Picture:
    """Return a picture at its own size, upright, in sRGB, white where it is transparent.

    Args:
      image: a path, a PIL image, or an array [h, w] or [h, w, 1 … 4] of any depth, scaled as
        `video.pixels` describes; of an animation, the first frame is read.
      flag: command-line flag that error messages name.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a picture, or larger than the limits.
    """
    return open_pixels(image, flag).on_white()


def open_pixels(image: Any, flag: str, *, labels: bool = False) -> Pixels:
    """Return colour and alpha of a picture; see `open_image` and `pixels.array_pixels`."""
    if isinstance(image, Image.Image):
        return image_pixels(image, flag, labels=labels)
    if is_array(image):
        return array_pixels(np.asarray(image), 3, flag, labels)
    check_path(image, flag, "photo.jpg")
    with named(flag):
        return read_pixels(image, labels=labels)


def open_clip(
    video: Any,
    *,
    frame_rate: float,
    frames: int | None = None,
    last: int | None = None,
    flag: str = "--video",
) -> Clip:
    """Return a clip at its own size, upright, with square pixels.

    Args:
      video: a path of a video or of an animated GIF, WebP or PNG; an array [t, h, w] or
        [t, h, w, 1 … 4]; or a list of pictures of one size, one a frame.
      frame_rate: frames per second to which files are resampled, by timestamp.
      frames: largest number of frames to read from the start; all when None.
      last: number of frames to keep from the end; all when None.
      flag: command-line flag that error messages name.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a video, or larger than the limits.
    """
    if isinstance(video, list | tuple):
        return _part(open_frames(video, flag).on_white(), frames, last)
    if is_array(video):
        return _part(array_pixels(np.asarray(video), 4, flag).on_white(), frames, last)
    if not isinstance(video, Image.Image):
        check_path(video, flag, "clip.mp4")
    with named(flag):
        if is_animated(video):
            shown = (pixels.on_white() for pixels in resampled(video, frame_rate))
            wanted = itertools.islice(shown, frames)
            wanted = wanted if last is None else collections.deque(wanted, maxlen=last)
            return collect(wanted, expected=frames or last or 0)
        if isinstance(video, Image.Image) or picture_format(video):
            raise ValueError(f"{describe(video)} is one picture, not a video")
        options = {"frames": frames, "last": last, "square_pixels": True, "limits": LIMITS}
        return read_video(video, fps=frame_rate, **options)[0]


def open_frames(pictures: Any, flag: str, *, labels: bool = False) -> Pixels:
    """Return a list of pictures of one size as one clip [t, h, w, 3] and its alpha [t, h, w].

    Raises:
      ValueError: an empty list, or pictures of different sizes.
    """
    if not len(pictures):
        raise ValueError(f"{flag} is an empty list of pictures")
    arrays = [np.asarray(p) for p in pictures if is_array(p)]
    if len(arrays) == len(pictures) and len({(a.shape, a.dtype) for a in arrays}) == 1:
        clip = np.stack(arrays)
        return array_pixels(clip[..., None] if clip.ndim == 3 else clip, 4, flag, labels)
    opened = [
        open_pixels(picture, f"{flag}, picture {number}", labels=labels)
        for number, picture in enumerate(pictures)
    ]
    sizes = {pixels.colour.shape[:2] for pixels in opened}
    if len(sizes) > 1:
        shown = ", ".join(f"{width}×{height}" for height, width in sorted(sizes)[:4])
        raise ValueError(f"{flag}: pictures of several sizes ({shown}); bring them to one size")
    opaque = np.full(opened[0].colour.shape[:2], 255, np.uint8)
    alpha = None
    if any(pixels.alpha is not None for pixels in opened):
        alpha = np.stack([opaque if p.alpha is None else p.alpha for p in opened])
    return Pixels(np.stack([pixels.colour for pixels in opened]), alpha)


def resampled(animation: Any, frame_rate: float) -> Iterator[Pixels]:
    """Yield the frames of an animated picture at a steady frame rate.

    Raises:
      ValueError: damaged, or larger than the limits.
    """
    yield from resample(read_animation(animation, LIMITS), frame_rate, TICK)


def _part(clip: Clip, frames: int | None, last: int | None) -> UInt8[np.ndarray, "k h w 3"]:
    clip = clip[:frames]
    return clip if last is None else clip[max(len(clip) - last, 0) :]


def is_array(media: Any) -> bool:
    """Return whether NumPy can read it as pixels: an array of NumPy or JAX, or a CPU tensor."""
    return hasattr(media, "__array__") and not isinstance(media, Image.Image)


def check_path(media: Any, flag: str, example: str) -> None:
    """Raise a ValueError that names the flag unless `media` is the path of a file."""
    if media is None:
        raise ValueError(f"{flag} is missing: name a file, such as {flag}={example}")
    if not isinstance(media, str) and not hasattr(media, "__fspath__"):
        raise ValueError(
            f"{flag} is of type {type(media).__name__}; give a path, a PIL image or an array"
        )
    if str(media).startswith(("http://", "https://", "ftp://", "data:")) or "\0" in str(media):
        raise ValueError(f"{flag}={media!s:.80} is not a path: download it, and name the file")


def crop(clip: Clip, size: int) -> UInt8[np.ndarray, "t size size 3"]:
    """Return every frame fitted to a square of `size` pixels."""
    return np.stack([resize_and_crop(frame, size) for frame in clip])


def crop_region(region: Bool[np.ndarray, "t h w"], size: int) -> Bool[np.ndarray, "t size size"]:
    """Return the region after the same fit; pixels that it touches belong to it."""
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
    """Return every frame resized to height × width, antialiased."""
    options = {"size": (width, height), "resample": Image.Resampling.BICUBIC}
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize(**options)) for frame in map(_contiguous, clip)]
    )


def _contiguous(frame: Picture) -> Picture:
    return np.ascontiguousarray(frame)


@contextlib.contextmanager
def named(flag: str) -> Iterator[None]:
    """Put the flag before the message of an error about a file."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{flag}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from error


def describe(media: Any) -> Any:
    """Return the description of a medium in a clip's JSON: its path, or its type and shape."""
    if media is None:
        return None
    if isinstance(media, str) or hasattr(media, "__fspath__"):
        return str(media)
    size = getattr(media, "shape", None) or getattr(media, "size", None)
    return f"{type(media).__name__} {tuple(size) if size else len(media)}"
