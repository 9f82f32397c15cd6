"""Noise schedules: the log-SNR of x = alpha * clean + sigma * noise over time in [0, 1].

A schedule is variance preserving (alpha² + sigma² = 1), so its log-SNR = log(alpha² / sigma²) says
all of it: alpha² = sigmoid(log-SNR) and sigma² = sigmoid(-log-SNR). Two families:

  continuous   cosine (optionally shifted for the resolution) and linear, as formulas
  discrete     1000 tabled steps, for imported weights: timestep k is time k / 1000

A time below 0 stands for the clean clip itself: alpha 1, sigma 0. The last step of a sampler goes
there. Given NumPy times everything is computed in float64; given JAX times, in their precision.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

TIMESTEPS = 1000  # the grid of every discrete schedule, and of the sampler's spacings
CLEAN = -1 / TIMESTEPS  # "timestep -1": the clean clip

BETAS = {
    # Nichol & Dhariwal 2021, eq. 17, with offset 0.008 and beta capped; DeepFloyd IF's.
    "discrete_cosine": lambda: np.minimum(1 - np.divide(*_cosine_products()), 0.999),
    # Ho et al. 2020, and the square-root form of Rombach et al. 2022.
    "discrete_linear": lambda: np.linspace(1e-4, 2e-2, TIMESTEPS),
    "discrete_scaled_linear": lambda: np.linspace(0.00085**0.5, 0.012**0.5, TIMESTEPS) ** 2,
}
SCHEDULES = ("cosine", "linear", *BETAS)


def _cosine_products() -> tuple[np.ndarray, np.ndarray]:
    """Products of (1 - beta) up to each step, and up to the one before it, uncapped."""
    grid = np.arange(TIMESTEPS + 1) / TIMESTEPS
    product = np.cos((grid + 0.008) / 1.008 * np.pi / 2) ** 2
    return product[1:], product[:-1]


def is_numpy(time: Any) -> bool:
    """Whether `time` is known now, so that float64 costs nothing."""
    return isinstance(time, (float, int, np.ndarray, np.generic))


@functools.cache
def discrete_tables(schedule: str, zero_terminal_snr: bool) -> tuple[np.ndarray, np.ndarray]:
    """alpha and sigma of timesteps -1 (clean), 0, 1, … 999, in float64.

    `zero_terminal_snr` shifts and scales sqrt(alpha²) so that the last step is pure noise and the
    first is as it was (Lin et al., arXiv 2305.08891, algorithm 1).
    """
    betas = BETAS[schedule]()
    alpha = np.sqrt(np.cumprod(1 - betas))
    if zero_terminal_snr:
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    alpha = np.concatenate([[1.0], alpha])
    return alpha, np.sqrt(1 - alpha**2)


def discrete_alpha_sigma(schedule: str, zero_terminal_snr: bool, time: Any) -> tuple[Any, Any]:
    """alpha and sigma by table; the timestep is found by rounding, as 0.29 * 1000 < 290."""
    alpha, sigma = discrete_tables(schedule, zero_terminal_snr)
    if is_numpy(time):
        index = np.clip(np.rint(np.asarray(time) * TIMESTEPS), -1, TIMESTEPS - 1).astype(int) + 1
        return alpha[index], sigma[index]
    index = jnp.clip(jnp.round(time * TIMESTEPS), -1, TIMESTEPS - 1).astype(jnp.int32) + 1
    return jnp.asarray(alpha, time.dtype)[index], jnp.asarray(sigma, time.dtype)[index]


def cosine_log_snr(time: Any, lowest: float, highest: float) -> Any:
    """-2 log tan(angle), the angle linear in time (Hoogeboom et al., arXiv 2301.11093, sec. 2).

    The ends of the angle are cut so that log-SNR runs from `highest` to `lowest`.
    """
    numpy = np if is_numpy(time) else jnp
    start = np.arctan(np.exp(-highest / 2))
    rest = np.arctan(np.exp(lowest / 2))  # from the last angle to a right angle
    rate = np.pi / 2 - start - rest
    # Past the middle the angle is measured from its far end: tan near a right angle would lose
    # three digits in float32.
    early = -2 * numpy.log(numpy.tan(start + rate * numpy.minimum(time, 0.5)))
    late = 2 * numpy.log(numpy.tan(rest + rate * (1 - numpy.maximum(time, 0.5))))
    return numpy.where(numpy.asarray(time) < 0.5, early, late)


def linear_log_snr(time: Any, lowest: float, highest: float) -> Any:
    """A straight line from `highest` to `lowest` (Kingma et al., arXiv 2107.00630)."""
    return highest + (lowest - highest) * time


def continuous_alpha_sigma(
    schedule: str, shift: float, lowest: float, highest: float, zero_terminal_snr: bool, time: Any
) -> tuple[Any, Any]:
    """alpha and sigma by formula.

    `shift` is a ratio of resolutions, e.g. 64 / 128: log-SNR moves by 2 log(shift), because
    averaging pixels hides noise (arXiv 2301.11093, sec. 3.1).
    """
    numpy = np if is_numpy(time) else jnp
    inside = numpy.maximum(time, 0.0)
    formula = cosine_log_snr if schedule == "cosine" else linear_log_snr
    moved = 2 * float(np.log(shift))
    log_snr = formula(inside, lowest, highest) + moved
    alpha, sigma = _sqrt_sigmoid(log_snr), _sqrt_sigmoid(-log_snr)
    if zero_terminal_snr:
        first, last = (float(_sqrt_sigmoid(np.float64(end + moved))) for end in (highest, lowest))
        alpha, sigma = _pure_noise_at_the_end(alpha, sigma, first, last)
        alpha = numpy.where(numpy.asarray(time) >= 1, 0.0, alpha)
    clean = numpy.asarray(time) < 0
    return numpy.where(clean, 1.0, alpha), numpy.where(clean, 0.0, sigma)


def _pure_noise_at_the_end(alpha: Any, sigma: Any, first: float, last: float) -> tuple[Any, Any]:
    """Algorithm 1 of arXiv 2305.08891, with 1 - alpha carried along so that sigma stays exact."""
    scale = first / (first - last)
    below_one = scale * sigma**2 / (1 + alpha) - last * (1 - first) / (first - last)
    alpha = scale * (alpha - last)
    return alpha, (below_one * (1 + alpha)) ** 0.5


def _sqrt_sigmoid(x: Any) -> Any:
    if is_numpy(x):
        return np.sqrt(1 / (1 + np.exp(-x)))
    return jnp.exp(0.5 * jax.nn.log_sigmoid(x))
