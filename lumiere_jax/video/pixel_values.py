"""Pixel values: bytes 0 … 255 in files and batches, numbers in [-1, 1] in networks.

Both functions take NumPy or JAX arrays, traced ones too; the module imports no JAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8


def from_uint8(clips: UInt8[Any, "..."]) -> Float[Any, "..."]:
    """Convert bytes to float32 in [-1, 1].

    Args:
      clips: pixels, of any shape.
    """
    return clips.astype(np.float32) / 127.5 - 1


def to_uint8(clips: Float[Any, "..."]) -> UInt8[Any, "..."]:
    """Convert numbers in [-1, 1] to bytes, rounded; those outside are clipped.

    Args:
      clips: pixels, of any shape.
    """
    return ((clips.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
