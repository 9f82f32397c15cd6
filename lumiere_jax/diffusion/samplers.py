"""Samplers, each a table: x at the next time is a weighted sum of what is known at this one.

    x' = a x  +  b clean  +  c noise  +  d previous clean  +  e fresh noise

The weights depend on the times alone, so they are worked out in float64 before anything runs; a new
sampler is one function from levels to weights. Where a list of times rises (a resampling jump), the
step only adds noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.variance import TINY, posterior

Weights = Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class Levels:
    """alpha and sigma at both ends of each of n steps, and of the step before where there is one.

    `chained` is False at the first step and after a jump: no earlier estimate may be used there.
    """

    alpha: Weights
    sigma: Weights
    to_alpha: Weights
    to_sigma: Weights
    before_alpha: Weights
    before_sigma: Weights
    chained: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepCoefficients:
    """Weights of one sampler's n steps; None where a term never occurs.

    With `log_variance`, (smallest, largest), the weight of fresh noise comes from the learned
    variance between the two instead of from `fresh`.
    """

    x: Weights
    clean: Weights
    noise: Weights | None = None
    previous: Weights | None = None
    fresh: Weights | None = None
    log_variance: tuple[Weights, Weights] | None = None


def step_levels(config: DiffusionConfig, steps: Float[np.ndarray, "n 2"]) -> Levels:
    """The levels of steps (from, to), in float64."""
    alpha, sigma = config.alpha_sigma(steps[:, 0])
    to_alpha, to_sigma = config.alpha_sigma(steps[:, 1])
    falls = steps[:, 1] <= steps[:, 0]
    chained = np.append(False, falls[:-1] & (steps[:-1, 1] == steps[1:, 0]))
    before_alpha, before_sigma = np.roll(alpha, 1), np.roll(sigma, 1)
    return Levels(alpha, sigma, to_alpha, to_sigma, before_alpha, before_sigma, chained)


def ddpm(at: Levels, variance: str) -> StepCoefficients:
    """The posterior's mean, and its variance or another (Ho et al. 2020, algorithm 2).

    Args:
      variance: "small" (the posterior's), "large" (beta), "learned" (between the two).
    """
    from_x, from_clean, smallest, largest = posterior(at.alpha, at.sigma, at.to_alpha, at.to_sigma)
    if variance == "learned":
        # The last step adds no noise, whatever the network says of its variance.
        logs = np.log(np.maximum(smallest, TINY)), np.log(np.maximum(largest, TINY))
        fresh = (at.to_sigma > 0).astype(float)
        return StepCoefficients(x=from_x, clean=from_clean, fresh=fresh, log_variance=logs)
    deviation = np.sqrt(np.maximum(smallest if variance == "small" else largest, 0))
    fresh = np.where(at.to_sigma > 0, deviation, 0)
    return StepCoefficients(x=from_x, clean=from_clean, fresh=fresh)


def ddim(at: Levels, eta: float) -> StepCoefficients:
    """Song et al., arXiv 2010.02502, eq. 12 and 16; eta 0 is deterministic, 1 is DDPM's noise."""
    fresh = eta * np.sqrt(posterior(at.alpha, at.sigma, at.to_alpha, at.to_sigma)[2].clip(0))
    direction = np.sqrt((at.to_sigma**2 - fresh**2).clip(0))
    nothing = np.zeros_like(at.alpha)
    return StepCoefficients(
        x=nothing, clean=at.to_alpha, noise=direction, fresh=fresh if eta else None
    )


def euler(at: Levels) -> StepCoefficients:
    """One step along x / alpha over sigma / alpha; DDIM, but the noise follows from `clean`."""
    ratio = at.to_sigma / at.sigma
    return StepCoefficients(x=ratio, clean=at.to_alpha - ratio * at.alpha)


def dpm_solver(at: Levels) -> StepCoefficients:
    """DPM-Solver++(2M), midpoint form (Lu et al., arXiv 2211.01095, algorithm 2)."""
    first = euler(at)
    extra = first.clean * _extrapolation(at)
    return StepCoefficients(x=first.x, clean=first.clean + extra, previous=-extra)


def dpm_solver_sde(at: Levels) -> StepCoefficients:
    """The stochastic form of DPM-Solver++(2M) (the same paper, appendix on SDE solvers)."""
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
    """A step up: x becomes a noisier version of itself."""
    ratio = at.to_alpha / at.alpha
    fresh = np.sqrt((at.to_sigma**2 - ratio**2 * at.sigma**2).clip(0))
    return StepCoefficients(x=ratio, clean=np.zeros_like(ratio), fresh=fresh)


def _noise_ratio(at: Levels) -> Weights:
    """(sigma' / alpha') / (sigma / alpha)."""
    return at.to_sigma * at.alpha / (at.sigma * at.to_alpha)


def _extrapolation(at: Levels) -> Weights:
    """h / (2 h_before), how far to go on along the last change of the clean estimate.

    0 (first order) where there is no earlier estimate, and for the step to the clean clip.
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
    "heun": euler,  # and a second look at the end of each step; see `sampling`
    "dpm_solver": dpm_solver,
    "dpm_solver_sde": dpm_solver_sde,
}
