"""Find the coloured object of a synthetic clip: its pixels, and its colour out of six.

Backgrounds of the synthetic set are nearly grey, so coloured pixels belong to the object. A pixel
is split into its grey part and the rest; the projection of the rest on the colour's direction is
the object's share of the pixel. Unlike a distance from the background this is linear, so noise
does not add up, and a glow towards white does not change the direction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from lumiere_jax.moving_shapes.scenes import COLOURS

# The trail reaches 0.34 of the colour, the glowing shape keeps 0.70 of it (see rendering.py).
TRAIL_END, SHAPE_START = 0.38, 0.62
FAINTEST = 25.0  # least colour of an object, in grey levels
SMALLEST = 0.004  # least area of an object, as a fraction of the frame's


class ColouredObject(NamedTuple):
    """The object in every frame.

    Attributes:
      colour: nearest colour of the palette; None if nothing is coloured.
      present: fraction of each pixel that is the object, without its trail, in [0, 1].
      coloured: fraction of the object's colour in each pixel, including the trail; about 1 inside
        the object.
    """

    colour: str | None
    present: Float[np.ndarray, "t h w"]
    coloured: Float[np.ndarray, "t h w"]


def find_object(video: UInt8[np.ndarray, "t h w 3"]) -> ColouredObject:
    """Find the coloured pixels of a clip, whatever their shape."""
    pixels = video.astype(np.float32)
    colourful = pixels - pixels.mean(-1, keepdims=True)
    strength = np.linalg.norm(colourful, axis=-1)
    strongest = strength >= np.quantile(strength, 0.99)
    if strength[strongest].mean() < FAINTEST:
        nothing = np.zeros(video.shape[:3], np.float32)
        return ColouredObject(None, nothing, nothing)
    names, palette = list(COLOURS), np.array(list(COLOURS.values()), np.float32)
    palette -= palette.mean(-1, keepdims=True)
    full = np.linalg.norm(palette, axis=-1)
    mean = colourful[strongest].mean(0)
    nearest = int(np.argmax((palette @ mean) / full))
    coloured = colourful @ (palette[nearest] / full[nearest] ** 2)
    coloured -= np.median(coloured)  # the background's faint tint
    coloured /= np.clip(np.quantile(coloured, 0.99), 0.85, 1.1)  # generated clips may be paler
    present = np.clip((coloured - TRAIL_END) / (SHAPE_START - TRAIL_END), 0, 1)
    return ColouredObject(names[nearest], present, coloured)


def count_objects(present: Float[np.ndarray, "t h w"]) -> tuple[int, ...]:
    """Count the separate objects in each frame; pixels that touch at a corner are one object."""
    return tuple(_count(frame > 0.3) for frame in present)


def _count(mask: Bool[np.ndarray, "h w"]) -> int:
    labels, found = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=found + 1)[1:]
    return int((areas >= max(SMALLEST * mask.size, 2)).sum())
