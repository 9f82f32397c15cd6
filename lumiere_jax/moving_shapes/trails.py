"""Which way an object moves, told from a single frame: its trail lies where it came from."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lumiere_jax.moving_shapes.objects import TRAIL_END, ColouredObject

TRAIL_START = 0.1  # less of the object's colour than this is background
FAINTEST_TRAIL = 0.02  # of the object's area, all of the trail together

STRAIGHT = ("left", "right", "up", "down")
"""The motions that a single frame tells; the others leave trails that resemble one another's."""


def name_direction(found: ColouredObject) -> str | None:
    """The direction from the trail to the object, over all frames; None without a trail."""
    trail = np.where(
        (found.coloured > TRAIL_START) & (found.coloured < TRAIL_END), found.coloured, 0
    )
    if trail.sum() <= FAINTEST_TRAIL * found.present.sum() or not found.present.any():
        return None
    across, down = (to - came for to, came in zip(_centre(found.present), _centre(trail)))
    if abs(across) > abs(down):
        return "right" if across > 0 else "left"
    return "down" if down > 0 else "up"


def _centre(weight: Float[np.ndarray, "t h w"]) -> tuple[float, float]:
    """Mean x and y of the weights, in pixels."""
    _, height, width = weight.shape
    x, y = weight.sum((0, 1)) @ np.arange(width), weight.sum((0, 2)) @ np.arange(height)
    return float(x / weight.sum()), float(y / weight.sum())
