"""Noise schedules: the log-SNR of x = alpha * clean + sigma * noise over time in [0, 1].

A schedule is variance preserving (alpha² + sigma² = 1), so log-SNR = log(alpha² / sigma²)
determines it: alpha² = sigmoid(log-SNR) and sigma² = sigmoid(-log-SNR). Two families:

  continuous   cosine (optionally shifted for the resolution) and linear, as formulas
  discrete     tables of 1000 steps, for imported parameters: timestep k is time k / 1000

A time below 0 stands for the clean clip: alpha 1, sigma 0. It is the end of a sampler's last step.
NumPy times are computed in float64, JAX times in their own precision.
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
    """Return the products of (1 - beta) up to each step and up to the one before it, uncapped."""
    grid = np.arange(TIMESTEPS + 1) / TIMESTEPS
    product = np.cos((grid + 0.008) / 1.008 * np.pi / 2) ** 2
    return product[1:], product[:-1]


def is_numpy(time: Any) -> bool:
    """Return True if `time` is known before tracing, so that float64 costs nothing."""
    return isinstance(time, (float, int, np.ndarray, np.generic))


@functools.cache
def discrete_tables(schedule: str, zero_terminal_snr: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and sigma of timesteps -1 (clean), 0, 1, … 999, in float64.

    Args:
      schedule: name of a discrete schedule.
      zero_terminal_snr: True to shift and scale alpha so that the last step is pure noise and the
        first is unchanged (Lin et al., arXiv 2305.08891, algorithm 1).
    """
    betas = BETAS[schedule]()
    alpha = np.sqrt(np.cumprod(1 - betas))
    if zero_terminal_snr:
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    alpha = np.concatenate([[1.0], alpha])
    return alpha, np.sqrt(1 - alpha**2)


def discrete_alpha_sigma(schedule: str, zero_terminal_snr: bool, time: Any) -> tuple[Any, Any]:
    """Look up alpha and sigma; the time is rounded to a timestep, because 0.29 * 1000 < 290.

    Args:
      schedule: name of a discrete schedule.
      zero_terminal_snr: True for a table whose last step is pure noise.
      time: times, NumPy or JAX; any shape.
    """
    alpha, sigma = discrete_tables(schedule, zero_terminal_snr)
    if is_numpy(time):
        index = np.clip(np.rint(np.asarray(time) * TIMESTEPS), -1, TIMESTEPS - 1).astype(int) + 1
        return alpha[index], sigma[index]
    index = jnp.clip(jnp.round(time * TIMESTEPS), -1, TIMESTEPS - 1).astype(jnp.int32) + 1
    return jnp.asarray(alpha, time.dtype)[index], jnp.asarray(sigma, time.dtype)[index]


def cosine_log_snr(time: Any, lowest: float, highest: float) -> Any:
    """Return -2 log tan(angle), the angle linear in time (arXiv 2301.11093, sec. 2).

    The ends of the angle are cut so that log-SNR runs from `highest` to `lowest`.

    Args:
      time: times in [0, 1], NumPy or JAX; any shape.
      lowest: log-SNR at time 1.
      highest: log-SNR at time 0.
    """
    numpy = np if is_numpy(time) else jnp
    start = np.arctan(np.exp(-highest / 2))
    rest = np.arctan(np.exp(lowest / 2))  # from the last angle to a right angle
    rate = np.pi / 2 - start - rest
    # In the second half the angle is measured from its far end: tan near a right angle would lose
    # three digits in float32.
    early = -2 * numpy.log(numpy.tan(start + rate * numpy.minimum(time, 0.5)))
    late = 2 * numpy.log(numpy.tan(rest + rate * (1 - numpy.maximum(time, 0.5))))
    return numpy.where(numpy.asarray(time) < 0.5, early, late)


def linear_log_snr(time: Any, lowest: float, highest: float) -> Any:
    """Return a straight line from `highest` to `lowest` (Kingma et al., arXiv 2107.00630)."""
    return highest + (lowest - highest) * time


def continuous_alpha_sigma(
    schedule: str, shift: float, lowest: float, highest: float, zero_terminal_snr: bool, time: Any
) -> tuple[Any, Any]:
    """Compute alpha and sigma by formula.

    Args:
      schedule: "cosine" or "linear".
      shift: reference resolution / resolution, e.g. 64 / 128: log-SNR moves by 2 log(shift),
        because averaging pixels hides noise (arXiv 2301.11093, sec. 3.1).
      lowest: log-SNR at time 1, before the shift.
      highest: log-SNR at time 0, before the shift.
      zero_terminal_snr: True to rescale the schedule so that time 1 is pure noise.
      time: times, NumPy or JAX; any shape. A time below 0 is the clean clip.
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
    """Rescale by algorithm 1 of arXiv 2305.08891, with sigma computed from an exact 1 - alpha."""
    scale = first / (first - last)
    below_one = scale * sigma**2 / (1 + alpha) - last * (1 - first) / (first - last)
    alpha = scale * (alpha - last)
    return alpha, (below_one * (1 + alpha)) ** 0.5


def _sqrt_sigmoid(x: Any) -> Any:
    if is_numpy(x):
        return np.sqrt(1 / (1 + np.exp(-x)))
    return jnp.exp(0.5 * jax.nn.log_sigmoid(x))
