"""Samplers: tables of coefficients, and the step that applies them.

    x' = a x  +  b clean  +  c noise  +  d previous clean  +  e fresh noise

The coefficients depend on the times alone, so they are computed in float64 before anything runs; a
new sampler is one function from levels to coefficients. Where a list of times rises (a resampling
jump), the step only adds noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.estimate import Estimate
from lumiere_jax.diffusion.frames import Clip, Frame, rewrite
from lumiere_jax.diffusion.variance import TINY, learned_log_variance, posterior

Column = Float[np.ndarray, " n"]
StepNoise = Callable[[Array], Callable[[Array], Frame]]
"""noise(step)(frame) -> standard normal, one frame of all clips."""


@dataclasses.dataclass(frozen=True)
class Levels:
    """Levels at both ends of each of n steps, and at the beginning of the step before.

    Attributes:
      alpha: alpha at the beginning of each step.
      sigma: sigma at the beginning of each step.
      to_alpha: alpha at the end of each step.
      to_sigma: sigma at the end of each step.
      before_alpha: alpha at the beginning of the step before.
      before_sigma: sigma at the beginning of the step before.
      chained: False at the first step and after a jump, where no earlier estimate may be used.
    """

    alpha: Column
    sigma: Column
    to_alpha: Column
    to_sigma: Column
    before_alpha: Column
    before_sigma: Column
    chained: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepCoefficients:
    """Coefficients of the n steps of a sampler; None for a term that never occurs.

    Attributes:
      x: coefficients of the clip.
      clean: coefficients of the clean estimate.
      noise: coefficients of the estimated noise.
      previous: coefficients of the clean estimate of the step before.
      fresh: coefficients of fresh noise.
      log_variance: (smallest, largest) log variance; the deviation of the fresh noise then comes
        from the learned variance between the two.
    """

    x: Column | None
    clean: Column | None
    noise: Column | None = None
    previous: Column | None = None
    fresh: Column | None = None
    log_variance: tuple[Column, Column] | None = None


def step_levels(config: DiffusionConfig, steps: Float[np.ndarray, "n 2"]) -> Levels:
    """Compute the levels of steps, in float64.

    Args:
      config: schedule.
      steps: times (from, to) of each step.
    """
    alpha, sigma = config.alpha_sigma(steps[:, 0])
    to_alpha, to_sigma = config.alpha_sigma(steps[:, 1])
    falls = steps[:, 1] <= steps[:, 0]
    chained = np.append(False, falls[:-1] & (steps[:-1, 1] == steps[1:, 0]))
    before_alpha, before_sigma = np.roll(alpha, 1), np.roll(sigma, 1)
    return Levels(alpha, sigma, to_alpha, to_sigma, before_alpha, before_sigma, chained)


def ddpm(at: Levels, variance: str) -> StepCoefficients:
    """Return the coefficients of ancestral sampling (Ho et al. 2020, algorithm 2).

    Args:
      at: levels of the steps.
      variance: "small" (the posterior's), "large" (beta), "learned" (between the two).
    """
    from_x, from_clean, smallest, largest = posterior(at.alpha, at.sigma, at.to_alpha, at.to_sigma)
    if variance == "learned":
        # The last step adds no noise, whatever variance the network predicts.
        logs = np.log(np.maximum(smallest, TINY)), np.log(np.maximum(largest, TINY))
        fresh = (at.to_sigma > 0).astype(float)
        return StepCoefficients(x=from_x, clean=from_clean, fresh=fresh, log_variance=logs)
    deviation = np.sqrt(np.maximum(smallest if variance == "small" else largest, 0))
    fresh = np.where(at.to_sigma > 0, deviation, 0)
    return StepCoefficients(x=from_x, clean=from_clean, fresh=fresh)


def ddim(at: Levels, eta: float) -> StepCoefficients:
    """Return the coefficients of DDIM (Song et al., arXiv 2010.02502, eq. 12 and 16).

    Args:
      at: levels of the steps.
      eta: 0 for deterministic steps, 1 for as much fresh noise as DDPM's.
    """
    fresh = eta * np.sqrt(posterior(at.alpha, at.sigma, at.to_alpha, at.to_sigma)[2].clip(0))
    direction = np.sqrt((at.to_sigma**2 - fresh**2).clip(0))
    nothing = np.zeros_like(at.alpha)
    return StepCoefficients(
        x=nothing, clean=at.to_alpha, noise=direction, fresh=fresh if eta else None
    )


def euler(at: Levels) -> StepCoefficients:
    """Return the coefficients of Euler steps of x / alpha over sigma / alpha.

    These are DDIM's, with the noise derived from the clean estimate.
    """
    ratio = at.to_sigma / at.sigma
    return StepCoefficients(x=ratio, clean=at.to_alpha - ratio * at.alpha)


def dpm_solver(at: Levels) -> StepCoefficients:
    """Return the coefficients of DPM-Solver++(2M), midpoint (arXiv 2211.01095, algorithm 2)."""
    first = euler(at)
    extra = first.clean * _extrapolation(at)
    return StepCoefficients(x=first.x, clean=first.clean + extra, previous=-extra)


def dpm_solver_sde(at: Levels) -> StepCoefficients:
    """Return the coefficients of stochastic DPM-Solver++(2M) (same paper, SDE appendix)."""
    shrink = _noise_ratio(at)  # exp(-h), h the step in half log-SNR
    clean = at.to_alpha * (1 - shrink**2)
    extra = clean * _extrapolation(at)
    return StepCoefficients(
        x=at.to_sigma / at.sigma * shrink,
        clean=clean + extra,
        previous=-extra,
        fresh=at.to_sigma * np.sqrt((1 - shrink**2).clip(0)),
    )


def renoise(at: Levels) -> StepCoefficients:
    """Return the coefficients of steps that only add noise."""
    ratio = at.to_alpha / at.alpha
    fresh = np.sqrt((at.to_sigma**2 - ratio**2 * at.sigma**2).clip(0))
    return StepCoefficients(x=ratio, clean=np.zeros_like(ratio), fresh=fresh)


def _noise_ratio(at: Levels) -> Column:
    """Compute (sigma' / alpha') / (sigma / alpha)."""
    return at.to_sigma * at.alpha / (at.sigma * at.to_alpha)


def _extrapolation(at: Levels) -> Column:
    """Compute h / (2 h_before), the factor of the last change of the clean estimate.

    It is 0 (first order) where there is no earlier estimate, and for the step to the clean clip.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        step = -np.log(_noise_ratio(at))
        before = np.log(at.alpha / at.sigma) - np.log(at.before_alpha / at.before_sigma)
        ratio = step / (2 * before)
    return np.where(at.chained & np.isfinite(ratio), ratio, 0)


SAMPLERS: dict[str, Callable[..., StepCoefficients]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "heun": euler,  # with a correction at the end of each step; see `sampling`
    "dpm_solver": dpm_solver,
    "dpm_solver_sde": dpm_solver_sde,
}


def apply_step(
    row: dict[str, Any],
    x: Clip,
    estimate: Estimate,
    previous: Clip | None = None,
    noise_at: StepNoise | None = None,
) -> tuple[Clip, Clip | None]:
    """Return x at the next time, and the clean estimate if previous ones are used.

    Args:
      row: coefficients of the step, see `StepCoefficients`, and its "index". A term without a
        coefficient is not read, so that its array need not be computed.
      x: clips at the current time.
      estimate: prediction of the denoiser for them.
      previous: clean estimate of the step before.
      noise_at: fresh noise; needed if the row has "fresh".

    Raises:
      ValueError: the sampler uses the learned variance, and the estimate has none.
    """
    if "log_variance" in row and estimate.variance is None:
        raise ValueError(
            "variance='learned' needs a network that predicts it; use variance='small' or 'large'"
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


def apply_renoise(row: dict[str, Any], x: Clip, noise_at: StepNoise) -> Clip:
    """Return x at a noisier time.

    Args:
      row: coefficients of the step, and its "index".
      x: clips at the current time.
      noise_at: fresh noise.
    """
    fresh = noise_at(row["index"])

    def change(x, _, number):
        return weighted_sum(row, {"x": x, "fresh": fresh(number)})

    return rewrite(change, x)


def weighted_sum(row: dict[str, Any], terms: dict[str, Any]) -> Any:
    """Return the sum of the terms that have a coefficient, times it.

    Args:
      row: coefficients by name.
      terms: arrays by name.
    """
    names = ("x", "clean", "noise", "previous", "fresh")
    return sum(row[name] * terms[name] for name in names if name in row and name in terms)


def _deviation(row: dict[str, Any], fraction: Frame | None) -> Frame | float:
    """Return the standard deviation of the fresh noise: 1, or the learned one."""
    if fraction is None:
        return 1.0
    return jnp.exp(0.5 * learned_log_variance(fraction, *row["log_variance"]))
