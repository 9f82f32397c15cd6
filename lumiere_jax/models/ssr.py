"""Resizing for SSR, the spatial super-resolution network: the U-Net with a low-resolution clip.

The low-resolution clip is upsampled to the output's size, noised a little, and concatenated to the
noisy clip before the first convolution; the noise level is embedded like a time (Saharia et al.
2022, arXiv 2205.11487, section 2.4; Lumiere, section 3.2).
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lumiere_jax.interpolation import half_pixel_positions, interpolation_matrix

Upsampling = Literal["half_pixel", "align_corners"]


def interpolation(
    size: int, larger: int, rule: Upsampling = "half_pixel"
) -> Float[np.ndarray, "larger size"]:
    """Return the matrix that interpolates `size` pixels linearly to `larger` pixels.

    Args:
      size: number of pixels before.
      larger: number of pixels after.
      rule: "half_pixel" aligns the pixels' areas; "align_corners" aligns the centres of the
        outermost pixels, as DeepFloyd IF does. They differ visibly at the border.

    Raises:
      ValueError: an unknown rule.
    """
    if rule == "half_pixel":
        positions = half_pixel_positions(size, larger)
    elif rule == "align_corners":
        positions = np.linspace(0, size - 1, larger)
    else:
        raise ValueError(f"upsampling={rule!r} is neither 'half_pixel' nor 'align_corners'")
    return interpolation_matrix(positions, size)


def downsample(video: Float[Array, "b t h w c"], factor: int) -> Float[Array, "b t i j c"]:
    """Downsample every frame by area: a pixel is the mean of factor × factor pixels.

    Raises:
      ValueError: the factor does not divide a side.
    """
    b, t, h, w, c = video.shape
    if h % factor or w % factor:
        raise ValueError(f"frames of {h}×{w} pixels do not shrink by a factor of {factor}")
    blocks = video.reshape(b, t, h // factor, factor, w // factor, factor, c)
    return blocks.mean((3, 5))


def upsample(
    video: Float[Array, "b t h w c"],
    height: int,
    width: int,
    rule: Upsampling = "half_pixel",
) -> Float[Array, "b t i j c"]:
    """Interpolate every frame bilinearly to height × width."""
    rows = jnp.asarray(interpolation(video.shape[2], height, rule), video.dtype)
    columns = jnp.asarray(interpolation(video.shape[3], width, rule), video.dtype)
    return jnp.einsum("ih,jw,bthwc->btijc", rows, columns, video)
