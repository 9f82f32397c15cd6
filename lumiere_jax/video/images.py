"""Read still pictures: a file and the PIL image of it give the same 8-bit RGB pixels.

Pictures are turned upright (EXIF orientation), put on white where they are transparent, scaled to
8 bits by the rules of `pixels`, and converted to sRGB where the file embeds a colour profile. Gamma
or primaries that a file states without a profile (PNG's gAMA, cHRM and cICP, the EXIF colour space)
are ignored.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from absl import logging
from etils import epath
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms

from lumiere_jax.json_files import check_regular
from lumiere_jax.video.pixels import ROWS, Pixels, full_scale, to_8_bits
from lumiere_jax.video.resize import resize_and_crop

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # no format that contains a program
MAXIMUM_PIXELS = 8192 * 8192
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF orientation → its inverse
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def read_image(
    path: epath.PathLike, *, size: int | None = None, max_pixels: int = MAXIMUM_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image upright, on white, in sRGB.

    Args:
      path: PNG, JPEG, WebP, BMP, TIFF or GIF (its first frame).
      size: short side after antialiased resizing, then the centre square; None keeps the size.
      max_pixels: height × width of the largest image that is decoded.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is not an image, damaged, or too large.
    """
    pixels = read_pixels(path, max_pixels=max_pixels).on_white()
    return pixels if size is None else resize_and_crop(pixels, size)


def read_pixels(
    path: epath.PathLike, *, max_pixels: int = MAXIMUM_PIXELS, labels: bool = False
) -> Pixels:
    """Read the colour and alpha of an image; see `read_image` and `image_pixels`."""
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of an image file")
    check_regular(path)
    with path.open("rb") as file:
        try:
            image = Image.open(file, formats=IMAGE_FORMATS)
        except Exception as error:  # of any type, where a header is damaged
            raise ValueError(
                f"{path} is not an image that can be read ({_say(error)}); "
                f"use one of {', '.join(IMAGE_FORMATS)}"
            ) from error
        with image:
            return image_pixels(image, str(path), max_pixels=max_pixels, labels=labels)


def image_pixels(
    image: Image.Image,
    where: str,
    *,
    max_pixels: int = MAXIMUM_PIXELS,
    labels: bool = False,
) -> Pixels:
    """Convert a PIL image of any mode; of an animation, its current frame.

    Args:
      image: image opened lazily or in memory.
      where: name of the image in error messages, such as its flag or path.
      max_pixels: height × width of the largest image that is decoded.
      labels: True to read integers of 0 and 1 alone as black and white.

    Raises:
      ValueError: the file behind it is damaged, the picture too large, or its values outside of
        the range of its depth.
    """
    if image.width * image.height > max_pixels:
        raise ValueError(
            f"{where} has {image.width}×{image.height} pixels; shrink it, or raise "
            f"max_pixels={max_pixels}"
        )
    try:
        image.load()
    except Exception as error:  # as above
        raise ValueError(
            f"{where} is not an image that can be read ({_say(error)}); it may be cut short"
        ) from error
    colour, alpha = _converted(image, where, labels)
    turn = UPRIGHT.get(_orientation(image), lambda a: a)
    return Pixels(
        np.ascontiguousarray(turn(colour)),
        None if alpha is None or alpha.min() == 255 else np.ascontiguousarray(turn(alpha)),
    )


def _converted(image: Image.Image, where: str, labels: bool) -> Pixels:
    """Convert an image as stored, not yet turned, a few rows at a time."""
    top = _full_scale(image, where, labels)
    colour = np.empty((image.height, image.width, 3), np.uint8)
    alpha = None
    to_rgb = None
    for begin in range(0, image.height, ROWS):
        rows = slice(begin, min(begin + ROWS, image.height))
        strip, transparency = _split(image.crop((0, rows.start, image.width, rows.stop)), top)
        to_rgb = to_rgb or _rgb_converter(image, strip.mode, where)
        colour[rows] = np.asarray(to_rgb(strip))
        if transparency is not None:
            alpha = np.empty(colour.shape[:2], np.uint8) if alpha is None else alpha
            alpha[rows] = np.asarray(transparency)
    return Pixels(colour, alpha)


def _full_scale(image: Image.Image, where: str, labels: bool) -> float:
    """Return the pixel value of white; modes of more than 8 bits hold any depth."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return 255
    pixels = np.asarray(image)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{where}: some pixels are NaN or infinite")
    if image.mode == "I" and image.format == "PNG" and high > 1:
        return 65535  # older Pillow opens 16-bit PNG in this mode
    tags = getattr(image, "tag_v2", {})  # of a TIFF that was opened
    bits, signed = tags.get(_BITS, (0,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == 2
    if image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0:
        raise ValueError(f"{where} is a TIFF of 16 bits whose white is 0; save it with black as 0")
    if 8 < bits < 16 and 1 < high < 1 << bits:
        return (1 << bits) - 1
    if bits == 16 and signed and low >= 0:
        return 32767
    return full_scale(pixels.dtype, low, high, where, labels)


def _split(strip: Image.Image, top: float) -> tuple[Image.Image, Image.Image | np.ndarray | None]:
    """Return (a picture of mode L, RGB, CMYK or LAB, alpha)."""
    mode, transparent = strip.mode, strip.info.get("transparency")
    if mode in ("I", "F") or mode.startswith("I;16"):
        pixels = np.asarray(strip)
        alpha = None if transparent is None else np.where(pixels == transparent, 0, 255)
        return Image.fromarray(to_8_bits(pixels, top)), alpha
    if mode in ("CMYK", "LAB", "L", "RGB") and transparent is None:
        return strip, None
    if mode in ("LA", "La"):
        return strip.convert("LA").split()
    if transparent is None and mode not in ("RGBA", "RGBa", "PA"):
        return strip.convert("L" if mode == "1" else "RGB"), None
    if isinstance(transparent, tuple) and max(transparent) > 255:  # Pillow keeps the high bytes
        strip.info["transparency"] = tuple(value >> 8 for value in transparent)
    with_alpha = strip.convert("RGBA")
    return with_alpha.convert("RGB"), with_alpha.getchannel("A")


def _rgb_converter(
    image: Image.Image, mode: str, where: str
) -> Callable[[Image.Image], Image.Image]:
    """Return a function from pictures of that mode to sRGB, by the embedded profile if any.

    Args:
      image: image that may embed a profile.
      mode: mode of the pictures to convert: L, RGB, CMYK or LAB.
      where: name of the image in warnings.
    """
    embedded = image.info.get("icc_profile")
    if not embedded and mode != "LAB":
        return lambda strip: strip.convert("RGB")
    try:
        lab = mode == "LAB"
        source = ImageCms.createProfile("LAB") if lab else _profile(embedded)
        space = "LAB" if lab else _MODES[source.profile.xcolor_space.strip()]
        if space != mode and (space, mode) != ("RGB", "L"):
            raise ValueError(f"a {space} profile in a {mode} picture")
        convert = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), space, "RGB")
        return lambda strip: convert.apply(strip.convert(space) if mode != space else strip)
    except (ImageCms.PyCMSError, ValueError, KeyError, OSError, TypeError) as error:
        logging.warning("%s: its colour profile is ignored (%s)", where, _say(error))
        return lambda strip: strip.convert("RGB")


_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


def _profile(embedded: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(embedded))


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF, with errors of any type
        return 1


def _say(error: Exception) -> str:
    """Return Pillow's message in one line, without the address of a buffer."""
    words = " ".join(str(error).split()) or type(error).__name__
    return "no known format" if words.startswith("cannot identify image") else words
