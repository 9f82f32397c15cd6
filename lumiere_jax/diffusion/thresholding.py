"""Thresholding of the clean estimate, whose pixels strong guidance drives out of range.

It acts on a whole clip at once (per window it would break the consensus, per frame it would
flicker), and only on the clean estimate: the noise is unchanged, as in other implementations.
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
    """Return a denoiser whose clean estimate lies in [-1, 1].

    Args:
      denoise: denoiser of whole clips.
      kind: "none"; "static", clipping to [-1, 1]; "dynamic" (Saharia et al. 2022, sec. 2.3).
      quantile: quantile of the dynamic kind, in (0, 1), see `dynamic_threshold`.
      ceiling: largest divisor of the dynamic kind, see `dynamic_threshold`.

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
    """Limit each clip to ± s, the quantile of its magnitudes, 1 <= s <= ceiling, and divide by s.

    Args:
      clean: clean estimates.
      quantile: quantile of the magnitudes, in (0, 1), e.g. 0.95.
      ceiling: largest s. 1 only limits to [-1, 1]; 1.5 is DeepFloyd IF's first stage.
    """
    if ceiling <= 1:
        return _clipped(clean)
    bound = jnp.clip(magnitude_quantile(clean, quantile), 1, ceiling)
    bound = bound.reshape((-1,) + (1,) * (clean.ndim - 2)).astype(clean.dtype)
    return rewrite(lambda clip, *_: jnp.clip(clip, -bound, bound) / bound, clean)


def _clipped(clean: Float[Array, "b t ..."]) -> Float[Array, "b t ..."]:
    return rewrite(lambda clip, *_: jnp.clip(clip, -1, 1), clean)


def magnitude_quantile(x: Float[Array, "b t ..."], quantile: float) -> Float[Array, " b"]:
    """Compute the quantile of |x| of each example, interpolated as `np.quantile` does; float32.

    By counting, not by sorting, which at 80 × 1024 × 1024 pixels would need the memory of another
    clip or two: the bits of positive float32 numbers, read as integers, have the order of the
    numbers, so bisecting the range of integers 31 times finds the order statistic exactly. The
    count goes frame by frame, because the magnitudes and comparisons of a whole clip would need the
    memory of two more.

    Args:
      x: examples.
      quantile: quantile in [0, 1].
    """
    size = x[0].size
    place = quantile * (size - 1)
    rank = min(int(place), size - 1)

    def halve(_, span):
        low, high = span  # low <= bits of the value <= high
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
    """Count the magnitudes of each example that are at most the float of these bits."""

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
    """Return the magnitudes of one frame of each example, flat."""
    return jnp.abs(frame(x, number)).astype(jnp.float32).reshape(len(x), -1)
