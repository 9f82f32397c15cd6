"""Name the shape of an object: the one that fits best among all shapes of the same area."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from lumiere_jax.moving_shapes.motions import follow
from lumiere_jax.moving_shapes.rendering import OUTER, signed_distance
from lumiere_jax.moving_shapes.scenes import SHAPES

SYMMETRY = {"circle": 1, "square": 4, "triangle": 3, "star": 5, "ring": 1}
"""Order of the rotational symmetry of each shape; 1 for round shapes, which are never rotated."""
FILLS = {"ring": (0.0, 0.5)}
"""Coverage that the hole of a shape may show: the trail lies behind it, and blur adds to it."""
ANGLES_A_TURN = 60
FRAMES = 12


def name_shape(present: Float[np.ndarray, "t h w"], turned: bool = False) -> str | None:
    """Return the shape that fits best over 12 frames; None if there is no object.

    Args:
      present: fraction of each pixel that is the object, in [0, 1].
      turned: True to try all angles; False for the upright shape only.
    """
    path = follow(present)
    # Outlines of large objects are resolved best: keep the half of the frames with most area.
    large = np.flatnonzero(path.area >= np.median(path.area))
    frames = large[np.linspace(0, len(large) - 1, min(FRAMES, len(large))).round().astype(int)]
    if path.area[frames].max() * present[0].size < 4:
        return None
    misfit = {
        shape: sum(
            min(
                _misfit(present[t], shape, fill, path.x[t], path.y[t], path.area[t], turned)
                for fill in FILLS.get(shape, (0.0,))
            )
            for t in frames
        )
        for shape in SHAPES
    }
    return min(misfit, key=misfit.get)


def _misfit(
    present: np.ndarray, shape: str, fill: float, x: float, y: float, area: float, turned: bool
) -> float:
    """Return the squared difference to the shape at its best angle, over the object's area."""
    height, width = present.shape
    across = ((np.arange(width) + 0.5) / width - x).astype(np.float32)[None, None, :]
    down = ((np.arange(height) + 0.5) / height - y).astype(np.float32)[None, :, None]
    angles = _angles(shape) if turned else np.zeros(1, np.float32)
    radius = np.float32(np.sqrt(area / _unit_area(shape, fill)))
    expected = _picture(shape, fill, across, down, radius, angles[:, None, None], width)
    return float(((expected - present) ** 2).sum((1, 2)).min() / max(present.sum(), 1))


def _picture(shape, fill, across, down, radius, angles, size) -> Float[np.ndarray, "a h w"]:
    """Return the shape's coverage of each pixel at each angle, with its hole partly filled."""
    covered = np.clip(0.5 - size * signed_distance(shape, across, down, radius, angles), 0, 1)
    if fill:
        disc = signed_distance("circle", across, down, np.float32(OUTER[shape]) * radius)
        covered += fill * (np.clip(0.5 - size * disc, 0, 1) - covered)
    return covered


def _angles(shape: str) -> np.ndarray:
    part = 2 * np.pi / SYMMETRY[shape]
    count = ANGLES_A_TURN // SYMMETRY[shape] if SYMMETRY[shape] > 1 else 1
    return (np.arange(count) * part / count).astype(np.float32)


@functools.lru_cache
def _unit_area(shape: str, fill: float) -> float:
    """Return the area of the shape of radius 1, from the pixels of a frame of width 3."""
    place = (np.arange(400, dtype=np.float32) + 0.5) / 400 * 3 - 1.5
    across, down = place[None, None, :], place[None, :, None]
    upright = np.zeros((1, 1, 1), np.float32)
    picture = _picture(shape, fill, across, down, np.float32(1), upright, 400 / 3)
    return float(picture.mean() * 9)
