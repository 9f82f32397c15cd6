"""The update that ends a sampler's step; see `samplers` for its weights.

x' = a x  +  b clean  +  c noise  +  d previous clean  +  e fresh noise
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from lumiere_jax.diffusion.estimate import Estimate
from lumiere_jax.diffusion.frames import Clip, Frame, rewrite
from lumiere_jax.diffusion.variance import learned_log_variance

StepNoise = Callable[[Array], Callable[[Array], Frame]]
"""noise(step)(frame) -> standard normal, one frame of all clips."""


def advance(
    row: dict[str, Any],
    x: Clip,
    estimate: Estimate,
    previous: Clip | None = None,
    noise_at: StepNoise | None = None,
) -> tuple[Clip, Clip | None]:
    """x at the next time, and the clean estimate where a previous one is kept.

    Args:
      row: coefficients of the step, see `StepCoefficients`, and its "index". A term without a
        coefficient is not read, so that its array need not be computed.
      x: the clips now.
      estimate: what the denoiser says of them.
      previous: what it said of their clean estimate a step earlier.
      noise_at: the fresh noise; needed where the row has "fresh".

    Raises:
      ValueError: the variance is to be learned, and the estimate has none.
    """
    if "log_variance" in row and estimate.variance is None:
        raise ValueError(
            "variance='learned' needs a network that emits it; use variance='small' or 'large'"
        )
    read = {
        "clean": estimate.clean if "clean" in row or previous is not None else None,
        "noise": estimate.noise if "noise" in row else None,
        "variance": estimate.variance if "log_variance" in row else None,
    }

    fresh = noise_at(row["index"]) if "fresh" in row else None

    def change(now, read, number):
        x, previous = now
        terms = {"x": x, "previous": previous, **read}
        if fresh is not None:
            terms["fresh"] = _deviation(row, read["variance"]) * fresh(number)
        return weighted_sum(row, terms), None if previous is None else read["clean"]

    return rewrite(change, (x, previous), read)


def renoise(row: dict[str, Any], x: Clip, noise_at: StepNoise) -> Clip:
    """x at a later time: only noise is added."""

    fresh = noise_at(row["index"])

    def change(x, _, number):
        return weighted_sum(row, {"x": x, "fresh": fresh(number)})

    return rewrite(change, x)


def weighted_sum(row: dict[str, Any], terms: dict[str, Any]) -> Any:
    """The terms that have a weight, times it."""
    names = ("x", "clean", "noise", "previous", "fresh")
    return sum(row[name] * terms[name] for name in names if name in row and name in terms)


def _deviation(row: dict[str, Any], fraction: Frame | None) -> Frame | float:
    """Of the fresh noise before its weight: 1, or the learned one."""
    if fraction is None:
        return 1.0
    return jnp.exp(0.5 * learned_log_variance(fraction, *row["log_variance"]))
