"""Convert pixels of any depth and number of channels to 8-bit RGB.

The rules hold for arrays, PIL images and files alike:
  bool            False is black, True white
  uint8, uint16   the whole range of the type
  other integers  0 … 255, or where the largest is above it 0 … 65535 (int16: 0 … 32767)
  floats          0 … 1, or 0 … 255 where the largest is at least 16; between, it is ambiguous
  channels        grey, grey and alpha, RGB, RGB and alpha; transparent pixels become white
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

ROWS = 256  # converted at a time
ROUNDING = 1e-3  # distance by which float pixels may lie outside of [0, 1]
DARKEST_TOP = 16.0  # pixels of 0 … 255 that are all below look black


class Pixels(NamedTuple):
    """8-bit colour [... h w 3] and, unless all is opaque, alpha [... h w]; not premultiplied."""

    colour: UInt8[np.ndarray, "... h w 3"]
    alpha: UInt8[np.ndarray, "... h w"] | None

    def on_white(self) -> UInt8[np.ndarray, "... h w 3"]:
        """Return the colours on a white background."""
        if self.alpha is None:
            return self.colour
        shown = np.empty_like(self.colour)
        # A few rows, or one frame, at a time: the products are four times as large.
        step = ROWS if shown.ndim == 3 else 1
        for begin in range(0, len(shown), step):
            part = slice(begin, begin + step)
            alpha = self.alpha[part, ..., None].astype(np.uint32)
            products = self.colour[part] * alpha
            products += 255 * (255 - alpha) + 127
            shown[part] = products // 255
        return shown


def array_pixels(array: np.ndarray, dimensions: int, where: str, labels: bool = False) -> Pixels:
    """Convert an array to 8 bits, and its last axis to colour and alpha.

    Args:
      array: [h, w], [h, w, 1 … 4] (`dimensions` = 3), or the same after [t] (`dimensions` = 4).
      dimensions: number of axes with channels, 3 for a picture and 4 for a video.
      where: name of the array in error messages.
      labels: True to read integers of 0 and 1 alone as black and white.

    Raises:
      ValueError: the shape or type is another, or values lie outside of every range above.
    """
    if array.ndim == dimensions - 1 and (dimensions == 3 or array.shape[-1] > 4):
        array = array[..., None]
    if array.ndim != dimensions or not 1 <= array.shape[-1] <= 4 or not array.size:
        wanted = "[h, w] or [h, w, 1 to 4]" if dimensions == 3 else "[t, h, w, 1 to 4]"
        raise ValueError(
            f"{where}: an array of shape {array.shape}, expected {wanted} with the channels last"
        )
    top = full_scale(array.dtype, *_extremes(array, where), where, labels)
    channels = array.shape[-1]
    colour = array[..., : 1 if channels < 3 else 3]
    shape = (*array.shape[:-1], 3)
    alpha = None if channels in (1, 3) else to_8_bits(array[..., -1], top)
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return Pixels(np.ascontiguousarray(np.broadcast_to(to_8_bits(colour, top), shape)), alpha)


def full_scale(dtype: np.dtype, low: float, high: float, where: str, labels: bool = False) -> float:
    """Return the pixel value of white, by the rules above.

    Args:
      dtype: type of the pixels.
      low, high: least and greatest pixel value.
      where: name of the pixels in error messages.
      labels: True to read integers of 0 and 1 alone as black and white.

    Raises:
      ValueError: the pixels fit no rule.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "b" or (labels and dtype.kind in "iu" and 0 <= low <= high == 1):
        return 1
    if dtype in (np.uint8, np.uint16):
        return np.iinfo(dtype).max
    if dtype.kind in "iu" and low >= 0 and high <= 65535:
        return 255 if high <= 255 else min(65535, np.iinfo(dtype).max)
    if dtype.kind == "f" and low >= -ROUNDING and high <= 1 + ROUNDING:
        return 1
    if dtype.kind == "f" and low >= 0 and DARKEST_TOP <= high <= 255:
        return 255
    if dtype.kind not in "iuf":
        raise ValueError(f"{where}: pixels of type {dtype}; expected uint8 from 0 to 255")
    expected = "0 to 1, or 0 to 255" if dtype.kind == "f" else "0 to 255, or 0 to 65535"
    advice = "; from -1 … 1 it is (x + 1) / 2" if dtype.kind == "f" and low < 0 else ""
    raise ValueError(
        f"{where}: {dtype} pixels from {low:.6g} to {high:.6g}; expected {expected}{advice}"
    )


def to_8_bits(array: np.ndarray, top: float) -> UInt8[np.ndarray, "..."]:
    """Scale an array from 0 … `top` to 0 … 255."""
    if top == 255 and array.dtype.kind != "f":
        return array.astype(np.uint8, copy=False)
    if array.ndim > 3:  # one frame after another: floats are four times as large
        return np.stack([to_8_bits(frame, top) for frame in array])
    scaled = array.astype(np.float32) * np.float32(255 / top)
    return np.clip(np.round(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


def _extremes(array: np.ndarray, where: str) -> tuple[float, float]:
    if array.dtype.kind not in "biuf":
        return 0, 0  # refused by its type
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{where}: some pixels are NaN or infinite")
    return low, high
