"""Read videos into arrays, whole or their first or last frames."""

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.structure import check_whole
from lumiere_jax.video.clips import MAXIMUM_SIDE, converted, square_frames
from lumiere_jax.video.decode import open_video
from lumiere_jax.video.frame import DecodedFrame
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.resample import FASTEST, SLOWEST, check_rate, resample
from lumiere_jax.video.resize import resize_to_fill
from lumiere_jax.video.tail import read_tail

MAXIMUM_BYTES = 4 << 30  # of a video in memory


def read_video(
    path: epath.PathLike,
    *,
    fps: float | None = None,
    size: int | None = None,
    frames: int | None = None,
    last: int | None = None,
    square_pixels: bool = False,
    limits: ReadLimits | None = None,
) -> tuple[UInt8[np.ndarray, "t h w 3"], float]:
    """Read a video upright, at a constant frame rate, in sRGB, on white where it is transparent.

    Where timestamps jump back, as in files put one behind the other, the times still rise. Frames
    of another size than the first one are resized until they fill its size, and cropped.

    Args:
      path: video file.
      fps: frames a second to resample to, by timestamp; None keeps the file's average rate.
      size: short side after antialiased resizing, then the centre square; None keeps the size.
      frames: largest number of frames, from the start; None reads all.
      last: largest number of frames, from the end; only as much is decoded as they need.
      square_pixels: True to resize the width of anamorphic video, with `size=None`.
      limits: largest video that is read; the defaults of `ReadLimits` when None.

    Returns:
      (frames [t, h, w, 3], frames a second).

    Raises:
      FileNotFoundError: the file does not exist.
      VideoError: the file is unreadable, corrupt, or exceeds the limits; a ValueError.
      ValueError: an argument is outside of its range.
    """
    _check_arguments(fps, size, frames, last)
    with open_video(path, limits) as video:
        rate = fps or video.fps
        if not SLOWEST <= rate <= FASTEST:
            raise VideoError("unreadable", f"it declares {rate:g} frames a second; give fps=16")
        if last is None:
            shown = resample(video.frames(), rate, video.tick)
            expected = min(frames or math.inf, (video.seconds or 0) * rate)
            pictures = _pictures(shown, size, square_pixels)
            return collect(itertools.islice(pictures, frames), expected), float(rate)
    tail = read_tail(path, last, rate, limits)
    expected = len(tail.frames)
    pictures = _pictures(_taken(tail.frames), size, square_pixels, tail.first)
    return collect(pictures, expected), float(rate)


def _check_arguments(
    fps: float | None, size: int | None, frames: int | None, last: int | None
) -> None:
    """Raise a ValueError that names the argument that is outside of its range."""
    if fps is not None:
        check_rate("fps", fps)
    bounds = {"size": (size, MAXIMUM_SIDE), "frames": (frames, 1 << 31), "last": (last, 1 << 16)}
    for name, (value, most) in bounds.items():
        if value is not None:
            check_whole(name, value, 1, most)
    if frames is not None and last is not None:
        raise ValueError(f"frames={frames} counts from the start and last={last} from the end")


def _pictures(
    shown: Iterable[DecodedFrame],
    size: int | None,
    square_pixels: bool,
    first: DecodedFrame | None = None,
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield frames in RGB, all of one size: squares of `size`, or as large as the first one."""
    if size is not None:
        yield from square_frames(shown, size)
        return
    shown = iter(shown)
    if first is None:
        first = next(shown)
        shown = itertools.chain([first], shown)
    aspect = 1.0 if square_pixels else first.pixel_aspect
    height, width = first.shape
    shape = (height, max(1, round(width * first.pixel_aspect / aspect)))
    yield from converted(
        shown, lambda frame: resize_to_fill(frame.rgb(), shape, frame.pixel_aspect / aspect)
    )


def _taken(frames) -> Iterator[DecodedFrame]:
    """Yield and remove the frames of a queue, so that each can be freed once it is converted."""
    while frames:
        yield frames.popleft()


def collect(
    pictures: Iterable[UInt8[np.ndarray, "h w 3"]], expected: float
) -> UInt8[np.ndarray, "t h w 3"]:
    """Return the pictures as one array that grows in place; a list would need twice the memory."""
    clip, count, most = np.empty(0, np.uint8), 0, 0
    for picture in pictures:
        if count == 0:
            most = MAXIMUM_BYTES // picture.nbytes
            _check_memory(expected, most)
            clip = np.empty((min(math.ceil(expected) + 2, most), *picture.shape), np.uint8)
        _check_memory(count + 1, most)  # the header may declare no duration, or too short a one
        if count == len(clip):
            clip.resize((min(2 * count, most), *picture.shape), refcheck=False)
        clip[count] = picture
        count += 1
    clip.resize((count, *clip.shape[1:]), refcheck=False)
    return clip


def _check_memory(frames: float, most: int) -> None:
    if frames > most:
        raise VideoError(
            "too large",
            f"only {most} frames of this size fit into {MAXIMUM_BYTES >> 30} GiB; "
            "read fewer (frames=80) or smaller ones (size=128)",
        )


def read_metadata(path: epath.PathLike) -> dict[str, str]:
    """Return the tags of a video file: title, comment and others.

    Raises:
      FileNotFoundError: the file does not exist.
      VideoError: the file is unreadable; a ValueError.
    """
    with open_video(path) as video:
        return video.metadata
