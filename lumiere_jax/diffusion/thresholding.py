"""Thresholding of the clean estimate: strong guidance drives pixels out of range; this undoes it.

It acts on a whole clip at once (per window it would break the consensus, per frame it flickers),
and only on the clean estimate: the noise stays the raw one, as in the peers' samplers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.frames import frame, rewrite

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
            return estimate._replace(clean=_clipped(estimate.clean))
        return estimate._replace(clean=dynamic_threshold(estimate.clean, quantile, ceiling))

    return thresholded


def dynamic_threshold(
    clean: Float[Array, "b t ..."], quantile: float, ceiling: float
) -> Float[Array, "b t ..."]:
    """Clips each clip at the quantile s of its magnitudes, 1 <= s <= ceiling, and divides by s.

    Args:
      quantile: in (0, 1), e.g. 0.95.
      ceiling: largest s. 1 makes it a plain clip; 1.5 is DeepFloyd IF's first stage.
    """
    if ceiling <= 1:
        return _clipped(clean)
    bound = jnp.clip(magnitude_quantile(clean, quantile), 1, ceiling)
    bound = bound.reshape((-1,) + (1,) * (clean.ndim - 2)).astype(clean.dtype)
    return rewrite(lambda clip, *_: jnp.clip(clip, -bound, bound) / bound, clean)


def _clipped(clean: Float[Array, "b t ..."]) -> Float[Array, "b t ..."]:
    return rewrite(lambda clip, *_: jnp.clip(clip, -1, 1), clean)


def magnitude_quantile(x: Float[Array, "b t ..."], quantile: float) -> Float[Array, " b"]:
    """The quantile of |x| of each example, interpolated as `np.quantile` does; float32.

    Found by counting, not by sorting, which at 80 × 1024 × 1024 pixels would need another clip or
    two of memory: the bits of a positive float32, read as an integer, are ordered as the floats
    are, so 31 halvings of the range of integers pin the order statistic down exactly. Counted is
    frame by frame, because magnitudes and comparisons of a whole clip would be two clips more.
    """
    size = x[0].size
    place = quantile * (size - 1)
    rank = min(int(place), size - 1)

    def halve(_, span):
        low, high = span  # the value's bits lie in low … high
        middle = low + (high - low) // 2
        enough = _count(x, middle) > rank
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    span = (jnp.zeros(len(x), jnp.int32), jnp.full(len(x), INFINITY_BITS, jnp.int32))
    bits, _ = jax.lax.fori_loop(0, 31, halve, span)
    value = jax.lax.bitcast_convert_type(bits, jnp.float32)
    if place == rank:
        return value
    following = jnp.where(_count(x, bits) > rank + 1, value, _smallest_above(x, value))
    return value + (place - rank) * (following - value)


def _count(x: Float[Array, "b t ..."], bits: Int32[Array, " b"]) -> Int32[Array, " b"]:
    """How many magnitudes of each example are at most the float of these bits."""

    def add(number, total):
        found = jax.lax.bitcast_convert_type(_magnitude(x, number), jnp.int32)
        return total + jnp.sum(found <= bits[:, None], axis=1, dtype=jnp.int32)

    return jax.lax.fori_loop(0, x.shape[1], add, jnp.zeros_like(bits))


def _smallest_above(x: Float[Array, "b t ..."], value: Float[Array, " b"]) -> Float[Array, " b"]:
    def lower(number, least):
        magnitude = _magnitude(x, number)
        above = magnitude > value[:, None]
        return jnp.minimum(least, jnp.min(magnitude, axis=1, where=above, initial=jnp.inf))

    return jax.lax.fori_loop(0, x.shape[1], lower, jnp.full_like(value, jnp.inf))


def _magnitude(x: Float[Array, "b t ..."], number: Array) -> Float[Array, "b n"]:
    """Of one frame of each example, flat."""
    return jnp.abs(frame(x, number)).astype(jnp.float32).reshape(len(x), -1)
