"""The training loss: mean squared error of the network's prediction, at random times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lumiere_jax.diffusion import prediction
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.denoiser import predict
from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.schedule import TIMESTEPS
from lumiere_jax.diffusion.times import shift_times
from lumiere_jax.diffusion.variance import variational_bound
from lumiere_jax.parallel.rows import Rows, all_rows


def diffusion_loss(
    apply: Callable[..., Any],
    params: Any,
    clean: Float[Array, "b t h w c"],
    conditions: Conditions,
    key: PRNGKeyArray,
    config: DiffusionConfig,
    *,
    valid: Bool[Array, " b"] | None = None,
    rows: Rows | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Compute the loss of one batch, in float32.

    Args:
      apply: `Network.apply`; see `denoiser_from_network`.
      params: parameters of the network.
      clean: clips in [-1, 1].
      conditions: text and other conditions, passed to the network unchanged.
      key: random key of the times and the noise.
      config: schedule, prediction, loss weights; with `learned_variance` the hybrid loss of Nichol
        & Dhariwal 2021, eq. 16: the bound trains the variance and has no gradient for the mean.
      valid: False for an example that does not count (a clip that failed to decode).
      rows: rows of the global batch that these clips are; all of it when None. Times and noise
        depend on a row's number, and not on the other rows here.

    Returns:
      (loss, {"loss", "mse", and "bound" in bits a dimension where the variance is learned}).
    """
    clean = clean.astype(jnp.promote_types(clean.dtype, jnp.float32))
    time_key, noise_key = jax.random.split(key)
    rows = rows or all_rows(clean.shape[0])
    time = rows.of(stratified_times(time_key, rows.total, config, clean.dtype))
    noise = rows.normal(noise_key, clean.shape[1:], clean.dtype)
    alpha, sigma = config.levels(time, clean)
    x = alpha * clean + sigma * noise

    predicted, fraction = predict(apply, params, x, time, conditions)
    target = prediction.target(config.prediction, clean, noise, alpha, sigma)
    chex.assert_equal_shape([predicted, target])
    error = jnp.mean((predicted - target) ** 2, axis=tuple(range(1, clean.ndim)))  # [b]
    example = loss_weight(time, config) * error
    metrics = {"mse": _mean(error, valid)}
    if config.learned_variance:
        bound = _bound(predicted, fraction, clean, x, time, config)
        # 1000 steps, each with weight 0.001: the two factors cancel.
        example = example + bound
        metrics["bound"] = _mean(bound, valid)
    loss = _mean(example, valid)
    return loss, {"loss": loss, **metrics}


def stratified_times(
    key: PRNGKeyArray, batch: int, config: DiffusionConfig, dtype: Any = jnp.float32
) -> Float[Array, " b"]:
    """Draw times in [0, 1), one in each of `batch` equal parts; uniform but for `time_shift`.

    One random offset for the whole batch: each time is uniform, and together they cover the range
    evenly, which lowers the variance of the loss (Kingma et al., arXiv 2107.00630, sec. I.1). A
    discrete schedule gets multiples of 1/1000.

    Args:
      key: random key of the offset.
      batch: number of times.
      config: schedule and `time_shift`.
      dtype: precision of the times.
    """
    offset = jax.random.uniform(key, (), dtype)
    time = (offset + jnp.arange(batch, dtype=dtype) / batch) % 1
    time = shift_times(time, config.time_shift)
    if config.discrete:
        time = jnp.minimum(jnp.floor(time * TIMESTEPS), TIMESTEPS - 1) / TIMESTEPS
    return time


def loss_weight(time: Float[Array, " b"], config: DiffusionConfig) -> Float[Array, " b"]:
    """Return the loss weight of the squared error of the network's prediction.

    "min_snr" weights the error of the clean clip by min(SNR + floor, gamma). With a floor of 0 that
    is arXiv 2303.09556, sec. 3.4: for noise min(SNR, gamma) / SNR, for velocity
    min(SNR, gamma) / (SNR + 1). A floor of 1 is the plain error of the velocity, cut off at gamma.

    Args:
      time: times in [0, 1).
      config: schedule, prediction, and `weighting`.
    """
    if config.weighting == "plain":
        return jnp.ones_like(time)
    alpha, sigma = config.alpha_sigma(time)
    # Times sigma², so that neither end divides by zero.
    least = jnp.minimum(alpha**2 + config.snr_floor * sigma**2, config.min_snr_gamma * sigma**2)
    if config.prediction == "noise":
        return least / alpha**2
    if config.prediction == "velocity":
        return least
    return least / sigma**2


def _bound(predicted, fraction, clean, x, time, config: DiffusionConfig) -> Float[Array, " b"]:
    if fraction is None:
        raise ValueError(
            "learned_variance=True needs a network with twice the output channels; set its "
            f"out_channels to {2 * clean.shape[-1]}, or learned_variance=False"
        )
    alpha, sigma = config.levels(time, x)
    # The bound must not pull on the mean, which the squared error trains better.
    frozen = jax.lax.stop_gradient(predicted)
    estimate = prediction.to_estimate(config.prediction, frozen, x, alpha, sigma)
    return variational_bound(clean, x, estimate.clean, fraction, time, config)


def _mean(values: Float[Array, " b"], valid: Bool[Array, " b"] | None) -> Float[Array, ""]:
    if valid is None:
        return values.mean()
    kept = jnp.where(valid, values, 0).sum()
    return kept / jnp.maximum(valid.sum(), 1)
