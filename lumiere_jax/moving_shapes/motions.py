"""Name the motion of an object, from its path, size and turning, or from one frame's trail."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from lumiere_jax.moving_shapes.objects import TRAIL_END, ColouredObject

MOVES = 0.2  # shortest path of a moving object, in sides of the frame
GROWS = 1.8  # least ratio of the last area to the first of a growing object
TURNS = 0.1  # least fraction of a spinning object's area that changes in a quarter of the clip
TRAIL_START = 0.1  # least fraction of the object's colour in its trail; below is background
FAINTEST_TRAIL = 0.02  # least colour of the whole trail, as a fraction of the object's area

STRAIGHT = ("left", "right", "up", "down")
"""The motions that a single frame shows; the trails of the others resemble each other."""


class Path(NamedTuple):
    """Centre and area of the object in every frame, in units of the frame's side and area."""

    x: Float[np.ndarray, "t"]
    y: Float[np.ndarray, "t"]
    area: Float[np.ndarray, "t"]


def follow(present: Float[np.ndarray, "t h w"]) -> Path:
    """Return the path of the object; its centre is interpolated over frames that are empty."""
    _, height, width = present.shape
    mass = present.sum((1, 2))
    total = np.maximum(mass, 1e-6)
    x = (present.sum(1) @ (np.arange(width) + 0.5)) / total / width
    y = (present.sum(2) @ (np.arange(height) + 0.5)) / total / height
    seen = np.flatnonzero(mass >= 1)
    if len(seen):
        every = np.arange(len(mass))
        x, y = np.interp(every, seen, x[seen]), np.interp(every, seen, y[seen])
    return Path(x, y, mass / (height * width))


def name_motion(present: Float[np.ndarray, "t h w"]) -> str | None:
    """Return one of the synthetic set's motions; None if nothing moves or no motion fits.

    Args:
      present: fraction of each pixel that is the object, in [0, 1].
    """
    path = follow(present)
    if not present.any():
        return None
    x, y, area = (_smooth(values) for values in path)
    ends = max(len(area) // 8, 1)
    growth = area[-ends:].mean() / max(area[:ends].mean(), 1e-6)
    extents = np.ptp(x), np.ptp(y)
    if max(extents) < MOVES:
        if growth > GROWS or growth < 1 / GROWS:
            return "grow" if growth > 1 else "shrink"
        return "spin" if _turning(present) > TURNS else None
    if min(extents) > 0.5 * max(extents):
        return "orbit"
    if extents[0] > extents[1]:
        return _along(x, "left", "right", returning=None)
    return _along(y, "up", "down", returning="bounce")


def name_direction(found: ColouredObject) -> str | None:
    """Return the direction from the trail to the object, over all frames; None without a trail."""
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
    """Return the weighted means of x and y over all pixels, in pixels."""
    _, height, width = weight.shape
    x, y = weight.sum((0, 1)) @ np.arange(width), weight.sum((0, 2)) @ np.arange(height)
    return float(x / weight.sum()), float(y / weight.sum())


def _along(path: np.ndarray, towards_0: str, towards_1: str, returning: str | None) -> str | None:
    ends = max(len(path) // 16, 1)
    net = path[-ends:].mean() - path[:ends].mean()
    if abs(net) > 0.7 * np.ptp(path):
        return towards_0 if net < 0 else towards_1
    return returning


def _turning(present: Float[np.ndarray, "t h w"]) -> float:
    """Return the area that differs a quarter of the clip later, over twice the object's area."""
    shape = (present > 0.5).astype(np.float32)
    lag = max(len(shape) // 4, 1)
    changed = np.abs(shape[lag:] - shape[:-lag]).sum()
    return float(changed / max(shape[lag:].sum() + shape[:-lag].sum(), 1))


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter1d(values, size=max(len(values) // 20, 1), mode="nearest")
