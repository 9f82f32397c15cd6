"""Thresholding of the clean estimate: strong guidance drives pixels out of range; this undoes it.

It acts on a whole clip at once (per window it would break the consensus, per frame it flickers),
and only on the clean estimate: the noise stays the raw one, as in the peers' samplers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate

INFINITY_BITS = 0x7F800000  # float32 infinity; every finite magnitude has fewer bits set


def threshold(
    denoise: Denoise, kind: str = "dynamic", *, quantile: float = 0.995, ceiling: float = 1.0
) -> Denoise:
    """A denoiser whose clean estimate lies in [-1, 1].

    Args:
      kind: "none"; "static", a clip; "dynamic" (Saharia et al. 2022, sec. 2.3).
      quantile, ceiling: of the dynamic kind, see `dynamic_threshold`.

    Raises:
      ValueError: another kind.
    """
    if kind == "none":
        return denoise
    if kind not in ("static", "dynamic"):
        raise ValueError(f"threshold={kind!r} is none of none, static, dynamic; try 'dynamic'")

    def thresholded(x, time, conditions: Conditions) -> Estimate:
        estimate = denoise(x, time, conditions)
        if kind == "static":
            return estimate._replace(clean=jnp.clip(estimate.clean, -1, 1))
        return estimate._replace(clean=dynamic_threshold(estimate.clean, quantile, ceiling))

    return thresholded


def dynamic_threshold(
    clean: Float[Array, "b ..."], quantile: float, ceiling: float
) -> Float[Array, "b ..."]:
    """Clips each clip at the quantile s of its magnitudes, 1 <= s <= ceiling, and divides by s.

    Args:
      quantile: in (0, 1), e.g. 0.95.
      ceiling: largest s. 1 makes it a plain clip; 1.5 is DeepFloyd IF's first stage.
    """
    if ceiling <= 1:
        return jnp.clip(clean, -1, 1)
    bound = jnp.clip(magnitude_quantile(clean, quantile), 1, ceiling)
    bound = bound.reshape((-1,) + (1,) * (clean.ndim - 1)).astype(clean.dtype)
    return jnp.clip(clean, -bound, bound) / bound


def magnitude_quantile(x: Float[Array, "b ..."], quantile: float) -> Float[Array, " b"]:
    """The quantile of |x| of each example, interpolated as `np.quantile` does; float32.

    Found by counting, not by sorting, which at 80 × 1024 × 1024 pixels would need another clip or
    two of memory: the bits of a positive float32, read as an integer, are ordered as the floats
    are, so 31 halvings of the range of integers pin the order statistic down exactly.
    """
    magnitude = jnp.abs(x).astype(jnp.float32)
    size = magnitude[0].size
    place = quantile * (size - 1)
    rank = min(int(place), size - 1)
    return jax.vmap(lambda one: _interpolated(one, rank, place - rank))(magnitude)


def _interpolated(magnitude: Float[Array, "..."], rank: int, fraction: float) -> Float[Array, ""]:
    """Between the values of rank `rank` and the next, counted from 0."""
    bits = jax.lax.bitcast_convert_type(magnitude, jnp.int32)

    def halve(_, span):
        low, high = span  # the value's bits lie in low … high
        middle = low + (high - low) // 2
        enough = jnp.sum(bits <= middle, dtype=jnp.int32) > rank
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    value_bits, _ = jax.lax.fori_loop(0, 31, halve, (jnp.int32(0), jnp.int32(INFINITY_BITS)))
    value = jax.lax.bitcast_convert_type(value_bits, jnp.float32)
    if fraction == 0:
        return value
    repeated = jnp.sum(bits <= value_bits, dtype=jnp.int32) > rank + 1
    following = jnp.min(magnitude, where=magnitude > value, initial=jnp.inf)
    return value + fraction * (jnp.where(repeated, value, following) - value)
