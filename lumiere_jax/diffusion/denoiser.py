"""Denoisers: the one made of a network, and the order in which the wrappers around it apply.

Predict, guide, reconcile windows, threshold, hold: guidance is computed on the network's own input,
one window; the consensus reconciles guided predictions; the threshold needs the whole clip, or
windows would be scaled differently; observed pixels are held last, so that nothing changes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lumiere_jax.diffusion import prediction
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.frames import rewrite
from lumiere_jax.diffusion.guidance import guide
from lumiere_jax.diffusion.multidiffusion import Tiles, Windows
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.diffusion.thresholding import threshold
from lumiere_jax.diffusion.windowed import tiles, windows
from lumiere_jax.text.text import Text


def denoiser_from_network(
    apply: Callable[..., Any], params: Any, config: DiffusionConfig, *, observe: bool = True
) -> Denoise:
    """Return the denoiser made of a network.

    Args:
      apply: `Network.apply`: (params, x, time, text, *, low_resolution, augmentation, observed,
        mask) -> [b, t, h, w, c], or 2c channels if the variance is learned. Conditions that are
        None are not passed.
      params: parameters of the network.
      config: prediction and schedule that the network was trained with.
      observe: True to pass the observed video and the mask to the network. False for a network
        that was not fine-tuned on them; `hold` keeps the observed pixels in either case.
    """

    def denoise(x, time, conditions: Conditions) -> Estimate:
        predicted, variance = predict(apply, params, x, time, conditions, observe=observe)
        alpha, sigma = config.levels(time, x)
        estimate = prediction.to_estimate(config.prediction, predicted, x, alpha, sigma)
        return estimate._replace(variance=variance)

    return denoise


def predict(
    apply: Callable[..., Any],
    params: Any,
    x: Float[Array, "b t h w c"],
    time: Float[Array, " b"],
    conditions: Conditions,
    *,
    observe: bool = True,
) -> tuple[Float[Array, "b t h w c"], Float[Array, "b t h w c"] | None]:
    """Return the network's output in x's precision, and its variance half if it has one.

    Args:
      apply: `Network.apply`, see `denoiser_from_network`.
      params: parameters of the network.
      x: noisy clips.
      time: time of each clip, in [0, 1).
      conditions: conditions of the network.
      observe: True to pass the observed video and the mask to the network.

    Raises:
      ValueError: the network's output has neither as many channels as x nor twice as many.
    """
    chex.assert_rank([x, time], [5, 1])
    given = {name: value for name, value in conditions._asdict().items() if value is not None}
    text = given.pop("text", None)
    if not observe:
        given = {name: given[name] for name in given if name not in ("observed", "mask")}
    raw = apply(params, x, time, text, **given).astype(jnp.promote_types(x.dtype, jnp.float32))
    channels = x.shape[-1]
    if raw.shape[-1] not in (channels, 2 * channels):
        raise ValueError(
            f"the network predicts {raw.shape[-1]} channels for a clip of {channels}; set its "
            f"out_channels to {channels}, or {2 * channels} if the variance is learned"
        )
    return raw[..., :channels], raw[..., channels:] if raw.shape[-1] > channels else None


def hold(denoise: Denoise, config: DiffusionConfig) -> Denoise:
    """Return a denoiser whose clean estimate is the observed video wherever the mask is 1.

    The noise there is derived again from x, so that with any sampler those pixels follow the
    observed video noised to each level, and its last step returns them exactly. Pixels that are not
    observed are unchanged; without `observed` and `mask` everything is.

    Args:
      denoise: denoiser of whole clips.
      config: schedule.
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


def compose(
    predict: Denoise,
    config: DiffusionConfig,
    sampler: SamplerConfig,
    *,
    null: Text | None = None,
    window_plan: Windows | None = None,
    window_weights: Float[np.ndarray, "n t"] | None = None,
    texts: Text | None = None,
    group: int = 1,
    mesh_axis: str | None = None,
    tile_plan: Tiles | None = None,
    tile_weights: tuple[Float[np.ndarray, "m s"], Float[np.ndarray, "l r"]] | None = None,
) -> Denoise:
    """Return the denoiser that a sampler runs.

    Args:
      predict: denoiser of one window, see `denoiser_from_network`.
      config: schedule and prediction of the network.
      sampler: guidance and thresholding.
      null: null text or negative prompt; needed unless the guidance scale is 1.
      window_plan: positions of the windows, see `windows`; the clip is not divided when None.
      window_weights: window weights of the clip's windows; uniform when None.
      texts: prompt of each window, [n, b, l, d]; the clip's for all of them when None.
      group: windows denoised at a time; tiles, where there are any.
      mesh_axis: mesh axis that groups of windows are divided over; none when None.
      tile_plan: positions of the tiles of each window, see `tiles`; whole frames when None.
      tile_weights: window weights over the rows and over the columns of tiles; uniform when None.
    """
    denoise = guide(
        predict,
        sampler.guidance_scale,
        null,
        interval=sampler.guidance_interval,
        rescale=sampler.guidance_rescale,
        config=config,
    )
    if tile_plan is not None:
        rows, columns = tile_weights or (None, None)
        denoise = tiles(denoise, tile_plan, group=group, row_weights=rows, column_weights=columns)
    if window_plan is not None:
        denoise = windows(
            denoise,
            window_plan,
            group=group if tile_plan is None else 1,
            weights=window_weights,
            texts=texts,
            mesh_axis=mesh_axis,
        )
    denoise = threshold(
        denoise, sampler.threshold, quantile=sampler.quantile, ceiling=sampler.ceiling
    )
    return hold(denoise, config)
