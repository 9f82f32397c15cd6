"""Read whole videos and images into arrays."""

import itertools
import math

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image, ImageOps

from lumiere_jax.video.clips import square_frames
from lumiere_jax.video.decode import open_video
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.resample import resample
from lumiere_jax.video.resize import resize_and_crop

MAXIMUM_BYTES = 4 << 30  # of a video in memory
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # none that runs a program


def read_video(
    path: epath.PathLike,
    *,
    fps: float | None = None,
    size: int | None = None,
    frames: int | None = None,
    limits: ReadLimits | None = None,
) -> tuple[UInt8[np.ndarray, "t h w 3"], float]:
    """Reads a video upright, at a steady frame rate.

    Args:
      path: a video file.
      fps: frames a second to resample to, by timestamp; None keeps the file's average rate.
      size: short side after antialiased resizing, then the centre square; None keeps the size.
      frames: how many to read at most, from the start; None reads all.
      limits: what the file may cost at most.

    Returns:
      (frames [t, h, w, 3], frames a second).

    Raises:
      FileNotFoundError: where there is no such file.
      VideoError: a ValueError; unreadable, corrupt, or larger than the limits.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"frames must be at least 1, got frames={frames}; try frames=80")
    with open_video(path, limits) as video:
        rate = fps or video.fps
        shown = resample(video.frames(), rate, video.tick)
        if size is None:
            side = video.height * video.width * 3
            pictures = (frame.rgb() for frame in shown)
        else:
            side = size * size * 3
            pictures = square_frames(shown, size, video.pixel_aspect)
        most = MAXIMUM_BYTES // side
        _check_memory(min(frames or math.inf, (video.seconds or 0) * rate), most)
        read = list(itertools.islice(pictures, min(frames or most + 1, most + 1)))
        _check_memory(len(read), most)  # the header may say nothing, or too little
        return np.stack(read), rate


def _check_memory(frames: float, most: int) -> None:
    if frames > most:
        raise VideoError(
            "too large",
            f"only {most} frames of this size fit into {MAXIMUM_BYTES >> 30} GiB; "
            "read fewer (frames=80) or smaller ones (size=128)",
        )


def read_metadata(path: epath.PathLike) -> dict[str, str]:
    """What a video file says about itself: title, comment, … Raises as `read_video`."""
    with open_video(path) as video:
        return video.metadata


def read_image(
    path: epath.PathLike, *, size: int | None = None, max_pixels: int = 8192 * 8192
) -> UInt8[np.ndarray, "h w 3"]:
    """Reads an image upright (EXIF orientation); what is transparent becomes white.

    Args:
      path: PNG, JPEG, WebP, BMP, TIFF or GIF (its first frame).
      size: short side after antialiased resizing, then the centre square; None keeps the size.
      max_pixels: refuse larger ones, before decoding.

    Raises:
      FileNotFoundError: where there is no such file.
      ValueError: not an image, damaged, or too large.
    """
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of an image file")
    try:
        with path.open("rb") as file, Image.open(file, formats=IMAGE_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ValueError(
                    f"{path} has {image.width}×{image.height} pixels; shrink it, or raise "
                    f"max_pixels={max_pixels}"
                )
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} is not an image that can be read ({error}); "
            f"use one of {', '.join(IMAGE_FORMATS)}"
        ) from error
    white = Image.new("RGBA", upright.size, (255, 255, 255, 255))
    pixels = np.asarray(Image.alpha_composite(white, upright).convert("RGB"))
    if size is None:
        return pixels
    return resize_and_crop(pixels, size)
