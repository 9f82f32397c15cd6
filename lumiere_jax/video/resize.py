"""Antialiased resizing that fills the result and keeps the centre."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def resize_and_crop(
    frame: UInt8[np.ndarray, "h w 3"], size: int, pixel_aspect: float = 1.0
) -> UInt8[np.ndarray, "size size 3"]:
    """Resize the short side to `size` pixels and keep the centre square.

    Args:
      frame: [h, w, 3].
      size: side of the square in pixels.
      pixel_aspect: width over height of one source pixel (anamorphic video).
    """
    return resize_to_fill(frame, (size, size), pixel_aspect)


def resize_to_fill(
    frame: UInt8[np.ndarray, "h w 3"], shape: tuple[int, int], pixel_aspect: float = 1.0
) -> UInt8[np.ndarray, "height width 3"]:
    """Resize a picture until it fills a shape, and keep the centre.

    Pillow widens its filter with the reduction, so that detail finer than the new pixels is
    averaged away and does not turn into moiré. The crop is taken in source coordinates and
    resized in one step: nothing outside it costs time, and nothing is rounded twice.

    Args:
      frame: [h, w, 3].
      shape: (height, width) of the result in pixels.
      pixel_aspect: width over height of one source pixel, where that of the result is 1.
    """
    height, width = frame.shape[:2]
    if (height, width) == shape and pixel_aspect == 1:
        return np.ascontiguousarray(frame)
    # Height of the crop in source pixels; its width in units of their height keeps the shape.
    cropped = min(height, width * pixel_aspect * shape[0] / shape[1])
    left = (width - cropped * shape[1] / shape[0] / pixel_aspect) / 2
    top = (height - cropped) / 2
    image = Image.fromarray(np.ascontiguousarray(frame))
    box = (max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BICUBIC, box=box))
