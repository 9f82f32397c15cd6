"""Finds the coloured object of a synthetic clip: which pixels are it, and which of six colours.

Backgrounds of the synthetic set are nearly grey, so colourfulness means the object. A pixel is
split into its grey part and the rest; the rest, measured along the colour's own direction, says
how much of the object is there. Unlike a distance from the background this is linear, so noise
does not add up, and a glow towards white leaves the direction as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from lumiere_jax.moving_shapes.scenes import COLOURS

# The trail reaches 0.34 of the colour, the glowing shape keeps 0.70 of it (see rendering.py).
TRAIL_END, SHAPE_START = 0.38, 0.62
FAINTEST = 25.0  # grey levels; less colour than this is no object
SMALLEST = 0.004  # of the frame's area; smaller specks do not count as objects


class ColouredObject(NamedTuple):
    """The object in every frame.

    Attributes:
      colour: nearest name of the palette, None where nothing is coloured.
      present: how much of each pixel is the object itself, without its trail.
      coloured: how much of the object's colour a pixel has, trail included; 1 is all of it.
    """

    colour: str | None
    present: Float[np.ndarray, "t h w"]
    coloured: Float[np.ndarray, "t h w"]


def find_object(video: UInt8[np.ndarray, "t h w 3"]) -> ColouredObject:
    """Finds the coloured pixels of a clip, whatever their shape."""
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
    """How many separate objects each frame shows; pixels that touch at a corner are one."""
    return tuple(_count(frame > 0.3) for frame in present)


def _count(mask: Bool[np.ndarray, "h w"]) -> int:
    labels, found = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=found + 1)[1:]
    return int((areas >= max(SMALLEST * mask.size, 2)).sum())
