"""Variance of a reverse step, fixed or learned, and the bound that trains the learned one."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.schedule import TIMESTEPS

TINY = 1e-20  # instead of 0, the variance of a step to the clean clip, before the logarithm
Clip = Float[Array, "b ..."]


def posterior(alpha, sigma, to_alpha, to_sigma):
    """Compute q(x_to | x, clean), the Gaussian of Ho et al. 2020, eq. 6-7; any array library.

    Args:
      alpha: alpha of x.
      sigma: sigma of x.
      to_alpha: alpha of x_to, at a time with less noise.
      to_sigma: sigma of x_to.

    Returns:
      (coefficient of x, coefficient of clean, variance, beta): the mean is the sum of x and clean
      times their coefficients, and beta is the variance that the step from x_to to x adds.
    """
    ratio = alpha / to_alpha
    # sigma² - ratio² to_sigma², not 1 - ratio²: at low noise the latter cancels in float32.
    beta = sigma**2 - ratio**2 * to_sigma**2
    return (
        ratio * to_sigma**2 / sigma**2,
        to_alpha * beta / sigma**2,
        to_sigma**2 / sigma**2 * beta,
        beta,
    )


def learned_log_variance(fraction: Clip, log_smallest, log_largest) -> Clip:
    """Interpolate log variances (Nichol & Dhariwal 2021, eq. 15).

    Args:
      fraction: prediction of the network: -1 for the posterior variance, 1 for beta.
      log_smallest: log of the posterior variance.
      log_largest: log of beta.
    """
    portion = (fraction + 1) / 2
    return portion * log_largest + (1 - portion) * log_smallest


def variational_bound(
    clean: Clip,
    x: Clip,
    clean_estimate: Clip,
    fraction: Clip,
    time: Float[Array, " b"],
    config: DiffusionConfig,
) -> Float[Array, " b"]:
    """Compute one term of the variational bound: that of the step time -> time - 1/1000.

    The KL divergence between the true and the modelled step; for timestep 0 the negative log
    likelihood of the 8-bit pixels under the model. (Ho et al. 2020, eq. 5 and 13.)

    Args:
      clean: clean clips, in [-1, 1].
      x: noisy clips.
      clean_estimate: prediction of the clean clips.
      fraction: prediction of the variance, see `learned_log_variance`.
      time: time of each clip, a multiple of 1/1000.
      config: schedule.

    Returns:
      The mean over each clip, in bits per dimension.
    """
    alpha, sigma = config.levels(time, x)
    to_alpha, to_sigma = config.levels(time - 1 / TIMESTEPS, x)
    from_x, from_clean, variance, beta = posterior(alpha, sigma, to_alpha, to_sigma)
    # Timestep 0 has no posterior variance; timestep 1's replaces it, as in the paper's code.
    next_variance = posterior(*config.levels(time + 1 / TIMESTEPS, x), alpha, sigma)[2]
    last = (time < 0.5 / TIMESTEPS).reshape(alpha.shape)
    log_smallest = jnp.log(jnp.maximum(jnp.where(last, next_variance, variance), TINY))
    log_variance = learned_log_variance(fraction, log_smallest, jnp.log(jnp.maximum(beta, TINY)))
    difference = from_clean * (clean - clean_estimate)
    divergence = 0.5 * (
        log_variance
        - log_smallest
        - 1
        + jnp.exp(log_smallest - log_variance)
        + difference**2 * jnp.exp(-log_variance)
    )
    mean = from_x * x + from_clean * clean_estimate
    surprise = -log_likelihood_of_pixels(clean, mean, 0.5 * log_variance)
    term = jnp.where(last, surprise, divergence)
    return term.mean(axis=tuple(range(1, x.ndim))) / np.log(2)


def log_likelihood_of_pixels(pixels: Clip, mean: Clip, log_scale: Clip) -> Clip:
    """Compute the log of a Gaussian's mass on each 8-bit value; the end values have the tails.

    Args:
      pixels: pixels in [-1, 1], on the grid of 256 values.
      mean: mean of the Gaussian at each pixel.
      log_scale: log of the standard deviation at each pixel.
    """
    half = 1 / 255
    inverse = jnp.exp(-log_scale)
    above = jnp.where(pixels > 0.999, jnp.inf, inverse * (pixels + half - mean))
    below = jnp.where(pixels < -0.999, -jnp.inf, inverse * (pixels - half - mean))
    # In the upper half both cumulative values are near 1, and their difference loses its digits;
    # mirrored, both are near 0.
    mirrored = below > 0
    upper, lower = jnp.where(mirrored, -below, above), jnp.where(mirrored, -above, below)
    return jnp.log(jnp.maximum(norm.cdf(upper) - norm.cdf(lower), 1e-12))
