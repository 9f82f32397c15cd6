"""Antialiased resizing: the short side to a size, then the centre square."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def resize_and_crop(
    frame: UInt8[np.ndarray, "h w 3"], size: int, pixel_aspect: float = 1.0
) -> UInt8[np.ndarray, "size size 3"]:
    """Resizes the short side to `size` pixels and keeps the centre square.

    Pillow widens its filter with the reduction, so that detail finer than the new pixels is
    averaged away and does not turn into moiré. The crop is taken in source coordinates and
    resized in one step: nothing outside it costs time, and nothing is rounded twice.

    Args:
      frame: [h, w, 3].
      size: side of the square in pixels.
      pixel_aspect: width over height of one source pixel (anamorphic video).
    """
    height, width = frame.shape[:2]
    if (height, width) == (size, size) and pixel_aspect == 1:
        return np.ascontiguousarray(frame)
    side = min(height, width * pixel_aspect)  # in units of a source pixel's height
    left = (width - side / pixel_aspect) / 2
    top = (height - side) / 2
    image = Image.fromarray(np.ascontiguousarray(frame))
    box = (left, top, width - left, height - top)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))
