"""Pixels of clips: bytes or [−1, 1], and at a stage's size."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from lumiere_jax.models.ssr import downsample


def to_uint8(clips: Float[Array, "..."]) -> UInt8[np.ndarray, "..."]:
    """[−1, 1] → 0 … 255, rounded."""
    scaled = jnp.round((jnp.clip(jnp.asarray(clips), -1, 1) + 1) * 127.5)
    return np.asarray(scaled.astype(jnp.uint8))


def from_uint8(clips: UInt8[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """0 … 255 → [−1, 1]."""
    return np.asarray(clips, np.float32) / 127.5 - 1


def shrink(observed, mask, size: int):
    """Observed video and mask at a stage's size.

    The video shrinks by area, the mask by minimum: a pixel counts as observed only where all that
    it stands for is.
    """
    if observed is None:
        return None, None
    factor = _factor(observed, size)
    return shrink_area(observed, size), _blocks(mask, factor).min((3, 5))


def shrink_area(clip: Float[Array, "b t h w c"], size: int) -> Float[Array, "b t i j c"]:
    """The clip with a short side of `size` pixels, each the mean of those it stands for."""
    return downsample(jnp.asarray(clip, jnp.float32), _factor(clip, size))


def _factor(clip, size: int) -> int:
    short = min(clip.shape[2:4])
    if short % size:
        raise ValueError(
            f"a clip of {short} pixels on the short side does not shrink to {size} by a whole "
            f"factor: resize it to {max(1, round(short / size)) * size}"
        )
    return short // size


def _blocks(clip, factor: int):
    b, t, h, w, c = clip.shape
    clip = jnp.asarray(clip, jnp.float32)
    return clip.reshape(b, t, h // factor, factor, w // factor, factor, c)
