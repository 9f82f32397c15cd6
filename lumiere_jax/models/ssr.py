"""SSR, the spatial super-resolution network: the one U-Net, given a low-resolution clip.

The low-resolution clip is brought to the output's size, noised a little, and stands beside the
noisy clip in the first convolution; the amount of noise is embedded like a time (Saharia et al.
2022, arXiv 2205.11487, section 2.4; Lumiere, section 3.2).
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Upsampling = Literal["half_pixel", "align_corners"]


def interpolation(
    size: int, larger: int, rule: Upsampling = "half_pixel"
) -> Float[np.ndarray, "larger size"]:
    """The matrix that interpolates `size` samples linearly to `larger` of them.

    Args:
      size, larger: pixels before and after.
      rule: "half_pixel" keeps pixels' areas aligned; "align_corners" keeps the centres of the
        outermost pixels, as DeepFloyd IF does. They differ visibly at the border.

    Raises:
      ValueError: an unknown rule.
    """
    if rule == "half_pixel":
        position = (np.arange(larger) + 0.5) * size / larger - 0.5
    elif rule == "align_corners":
        position = np.linspace(0, size - 1, larger)
    else:
        raise ValueError(f"upsampling={rule!r} is neither 'half_pixel' nor 'align_corners'")
    position = position.clip(0, size - 1)
    distance = np.abs(position[:, None] - np.arange(size))
    return np.maximum(1 - distance, 0)


def downsample(video: Float[Array, "b t h w c"], factor: int) -> Float[Array, "b t i j c"]:
    """Every frame by area: a pixel is the mean of the factor × factor that it stands for.

    Raises:
      ValueError: a side that the factor does not divide.
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
    """Interpolates every frame bilinearly to height × width."""
    rows = jnp.asarray(interpolation(video.shape[2], height, rule), video.dtype)
    columns = jnp.asarray(interpolation(video.shape[3], width, rule), video.dtype)
    return jnp.einsum("ih,jw,bthwc->btijc", rows, columns, video)
