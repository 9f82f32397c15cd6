"""Linear interpolation along an axis as a matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def interpolation_matrix(
    positions: Float[np.ndarray, " target"], size: int
) -> Float[np.ndarray, "target size"]:
    """Return the matrix that interpolates `size` samples linearly at some positions.

    Args:
      positions: places between the samples, which are at 0, 1, …, size - 1; places outside get the
        nearest sample.
      size: number of samples.
    """
    positions = positions.clip(0, size - 1)
    distance = np.abs(positions[:, None] - np.arange(size))
    return np.maximum(1 - distance, 0)


def half_pixel_positions(size: int, target: int) -> Float[np.ndarray, " target"]:
    """Return the centres of `target` pixels that cover the same length as `size` pixels.

    Args:
      size: number of pixels before, whose centres are at 0, 1, …, size - 1.
      target: number of pixels after.
    """
    return (np.arange(target) + 0.5) * size / target - 0.5
