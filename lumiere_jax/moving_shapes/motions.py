"""Which motion a clip shows: from the path of the object's centre, its size, and its turning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage

MOVES = 0.2  # of the frame's side: a path shorter than this is standing still
GROWS = 1.8  # last area over first
TURNS = 0.1  # of the object's area that changes hands within a quarter of the clip


class Path(NamedTuple):
    """The object's centre and area in every frame, in units of the frame's side and area."""

    x: Float[np.ndarray, "t"]
    y: Float[np.ndarray, "t"]
    area: Float[np.ndarray, "t"]


def follow(present: Float[np.ndarray, "t h w"]) -> Path:
    """The path of everything present; where a frame is empty the path is bridged."""
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
    """One of the synthetic set's motions, or None where nothing moves or nothing fits."""
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


def _along(path: np.ndarray, towards_0: str, towards_1: str, returning: str | None) -> str | None:
    ends = max(len(path) // 16, 1)
    net = path[-ends:].mean() - path[:ends].mean()
    if abs(net) > 0.7 * np.ptp(path):
        return towards_0 if net < 0 else towards_1
    return returning


def _turning(present: Float[np.ndarray, "t h w"]) -> float:
    """Area that differs a quarter of the clip later, over twice the object's area."""
    shape = (present > 0.5).astype(np.float32)
    lag = max(len(shape) // 4, 1)
    changed = np.abs(shape[lag:] - shape[:-lag]).sum()
    return float(changed / max(shape[lag:].sum() + shape[:-lag].sum(), 1))


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter1d(values, size=max(len(values) // 20, 1), mode="nearest")
