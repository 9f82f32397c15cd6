"""From a network to a denoiser: the one place that knows what the network emits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from lumiere_jax.diffusion import prediction
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.frames import rewrite

__all__ = ["Conditions", "Denoise", "Estimate", "denoiser_from_network", "emit"]


def denoiser_from_network(
    apply: Callable[..., Any], params: Any, config: DiffusionConfig, *, observe: bool = True
) -> Denoise:
    """The denoiser that a network with these parameters is.

    Args:
      apply: `Network.apply`: (params, x, time, text, *, low_resolution, augmentation, observed,
        mask) -> [b, t, h, w, c], or 2c channels where the variance is learned. Conditions that are
        None are not passed.
      params: its parameters.
      config: what it was trained to emit, and under which schedule.
      observe: hand it the observed video and the mask. False is for a network that was not
        fine-tuned on them, or is to be shown nothing, while `hold` keeps the observed pixels.
    """

    def denoise(x, time, conditions: Conditions) -> Estimate:
        emitted, variance = emit(apply, params, x, time, conditions, observe=observe)
        alpha, sigma = config.levels(time, x)
        estimate = prediction.to_estimate(config.prediction, emitted, x, alpha, sigma)
        return estimate._replace(variance=variance)

    return denoise


def emit(apply, params, x, time, conditions: Conditions, *, observe: bool = True):
    """The network's raw answer in x's precision, and the variance half if it has one.

    Raises:
      ValueError: the network emits neither as many channels as x has nor twice as many.
    """
    given = {name: value for name, value in conditions._asdict().items() if value is not None}
    text = given.pop("text", None)
    if not observe:
        given = {name: given[name] for name in given if name not in ("observed", "mask")}
    raw = apply(params, x, time, text, **given).astype(jnp.promote_types(x.dtype, jnp.float32))
    channels = x.shape[-1]
    if raw.shape[-1] not in (channels, 2 * channels):
        raise ValueError(
            f"the network emits {raw.shape[-1]} channels for a clip of {channels}; set its "
            f"out_channels to {channels}, or {2 * channels} where the variance is learned"
        )
    return raw[..., :channels], raw[..., channels:] if raw.shape[-1] > channels else None


def hold(denoise: Denoise, config: DiffusionConfig) -> Denoise:
    """A denoiser that answers with the observed video wherever the mask is 1.

    The noise there is derived again from x, so that any sampler carries those pixels along the
    path of the observed video noised to each level, and its last step returns them exactly. Pixels
    that are not observed are left alone; without `observed` and `mask` nothing changes.
    """

    def held(x, time, conditions: Conditions) -> Estimate:
        estimate = denoise(x, time, conditions)
        observed, mask = conditions.observed, conditions.mask
        if observed is None or mask is None:
            return estimate
        alpha, sigma = config.levels(time, x[:, 0])

        def keep(estimates, read, _):
            (clean, noise), (x, observed, mask) = estimates, read
            derived = (x - alpha * observed) / sigma
            return mask * observed + (1 - mask) * clean, mask * derived + (1 - mask) * noise

        clean, noise = rewrite(keep, (estimate.clean, estimate.noise), (x, observed, mask))
        return estimate._replace(clean=clean, noise=noise)

    return held
