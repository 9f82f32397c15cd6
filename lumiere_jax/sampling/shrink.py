"""Given videos and masks at the size of a stage."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from lumiere_jax.models.ssr import downsample


def shrink(
    observed: Float[Any, "b t h w c"] | None, mask: Float[Any, "b t h w 1"] | None, size: int
) -> tuple[Float[Array, "b t i j c"] | None, Float[Array, "b t i j 1"] | None]:
    """Return an observed video and its mask at the size of a stage.

    The video is averaged over blocks of pixels; of the mask the minimum is taken: a pixel counts as
    observed only if all pixels of its block are.

    Args:
      observed: observed video; None if there is none.
      mask: 1 where `observed` is known.
      size: pixels of the short side.
    """
    if observed is None:
        return None, None
    b, t, h, w, c = mask.shape
    factor = _factor(observed, size)
    blocks = jnp.asarray(mask, jnp.float32).reshape(
        b, t, h // factor, factor, w // factor, factor, c
    )
    return shrink_area(observed, size), blocks.min((3, 5))


def shrink_area(clip: Float[Any, "b t h w c"], size: int) -> Float[Array, "b t i j c"]:
    """Return a clip with `size` pixels on the short side, each the mean of a block of pixels.

    Args:
      clip: clip whose sides are whole multiples of the result's.
      size: pixels of the short side.
    """
    return downsample(jnp.asarray(clip, jnp.float32), _factor(clip, size))


def _factor(clip, size: int) -> int:
    short = min(clip.shape[2:4])
    if short % size:
        raise ValueError(
            f"a clip of {short} pixels on the short side does not shrink to {size} by a whole "
            f"factor: resize it to {max(1, round(short / size)) * size}"
        )
    return short // size
