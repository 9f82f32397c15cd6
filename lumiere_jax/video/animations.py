"""Read animated GIF, WebP and APNG: frames with their times, alpha kept.

Pillow reads all three: FFmpeg cannot read animated WebP, and one reader treats the durations of the
three formats alike. A frame without a duration is shown for a tenth of a second, as browsers do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from etils import epath
from PIL import Image

from lumiere_jax.json_files import check_regular
from lumiere_jax.video.images import image_pixels
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.pixels import Pixels
from lumiere_jax.video.timeline import Timed

TICK = 0.01  # resolution of a GIF's durations, in seconds
SHORTEST = 0.02  # seconds; a shorter duration counts as missing
DEFAULT_DURATION = 0.1  # seconds
FORMATS = ("GIF", "WEBP", "PNG")  # that can be animated
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


def picture_format(path: epath.PathLike) -> str | None:
    """Return the image format whose signature a file begins with; None if there is none.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: not a regular file.
    """
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a file")
    check_regular(path)
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in SIGNATURES.items() if head.startswith(magic)), None)


def is_animated(source: Any) -> bool:
    """Return whether a path or PIL image is a GIF, WebP or PNG of several frames."""
    if isinstance(source, Image.Image):
        return getattr(source, "is_animated", False) and source.format in FORMATS
    kind = picture_format(source)
    if kind not in FORMATS:
        return False
    with epath.Path(source).open("rb") as file:
        try:
            with Image.open(file, formats=(kind,)) as image:
                return getattr(image, "is_animated", False)
        except Exception:  # damaged: `read_animation` raises the error
            return False


def read_animation(source: Any, limits: ReadLimits | None = None) -> Iterator[Timed[Pixels]]:
    """Yield every frame, composed as it is displayed, with its time in seconds.

    Args:
      source: path, or PIL image, whose current frame changes.
      limits: largest animation that is read; the defaults of `ReadLimits` when None.

    Raises:
      FileNotFoundError: there is no such file.
      VideoError: the file is damaged, or exceeds the limits; a ValueError.
    """
    limits = limits or ReadLimits()
    if isinstance(source, Image.Image):
        yield from _frames(source, "the animation", limits)
        return
    with epath.Path(source).open("rb") as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except Exception as error:  # of any type, where a header is damaged
            raise VideoError("unreadable", f"{source} is not an animation ({error})") from error
        with image:
            yield from _frames(image, str(source), limits)


def _frames(image: Image.Image, where: str, limits: ReadLimits) -> Iterator[Timed[Pixels]]:
    limits.check(*image.size, 0, 0.0)
    try:
        count = getattr(image, "n_frames", 1)
    except Exception as error:  # as above
        raise VideoError("corrupt", f"{where}: its frames cannot be counted ({error})") from error
    # A PNG may begin with a still picture for programs that cannot show animations.
    first = 1 if image.info.get("default_image") else 0
    size, start = image.size, 0.0
    limits.check(*size, count, 0.0)
    for number in range(first, count):
        pixels = _frame(image, number, where, limits)
        if image.size != size:
            raise VideoError("corrupt", f"frame {number} of {where} lies outside of the picture")
        duration = float(image.info.get("duration", 0)) / 1000
        duration = duration if duration >= SHORTEST else DEFAULT_DURATION
        limits.check(*size, number, start + duration)
        yield Timed(start, duration, pixels)
        start += duration


def _frame(image: Image.Image, number: int, where: str, limits: ReadLimits) -> Pixels:
    where = f"frame {number} of {where}"
    try:
        image.seek(number)
    except Exception as error:  # as above
        raise VideoError("corrupt", f"{where} cannot be decoded ({error})") from error
    try:
        return image_pixels(image, where, max_pixels=limits.max_pixels)
    except ValueError as error:
        raise VideoError("corrupt", str(error)) from error
