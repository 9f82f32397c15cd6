"""Classifier-free guidance: away from the null text (or a negative prompt), towards the prompt."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from lumiere_jax.diffusion import prediction
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.text.text import Text


def guide(
    denoise: Denoise,
    scale: float,
    null: Text | None,
    *,
    interval: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
    config: DiffusionConfig | None = None,
) -> Denoise:
    """null + scale * (conditional - null), for the clean clip and the noise (Ho & Salimans 2022).

    Both halves run as one doubled batch. The variance, where it is learned, is the conditional
    half's.

    Args:
      denoise: the conditional denoiser.
      scale: 1 returns `denoise` itself: no second half is computed.
      null: text of the other half, [1 or b, l, d]: the null text, or a negative prompt. Its length
        is that of the conditional text.
      interval: guidance acts at times inside it, and outside the second half is skipped
        (Kynkäänniemi et al., arXiv 2404.07724).
      rescale: how far the guided prediction returns to the conditional one's standard deviation, 0
        to 1 (Lin et al., arXiv 2305.08891, eq. 15-16).
      config: what the network predicts; needed to rescale.

    Raises:
      ValueError: no null text, or texts of different lengths (when called).
    """
    if scale == 1:
        return denoise
    if null is None:
        raise ValueError(f"guidance_scale={scale} needs the null text; or set guidance_scale=1")
    if rescale and config is None:
        raise ValueError("rescale needs config, to know what the network predicts")

    def guided(x, time, conditions: Conditions) -> Estimate:
        both = denoise(_twice(x), _twice(time), _both(conditions, null, x.shape[0]))
        wanted, unwanted = (jax.tree.map(lambda a, i=i: a[i::2], both) for i in range(2))
        clean, noise = (
            other + scale * (one - other) for one, other in zip(wanted[:2], unwanted[:2])
        )
        estimate = Estimate(clean, noise, wanted.variance)
        return _rescaled(estimate, wanted, rescale, x, time, config) if rescale else estimate

    if interval[0] <= 0 and interval[1] >= 1:
        return guided

    def guided_inside(x, time, conditions: Conditions) -> Estimate:
        inside = (time[0] >= interval[0]) & (time[0] <= interval[1])
        return jax.lax.cond(inside, guided, denoise, x, time, conditions)

    return guided_inside


def _twice(tree: Any) -> Any:
    """Every example twice, side by side, so that a batch spread over devices stays where it is."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), tree)


def _both(conditions: Conditions, null: Text, batch: int) -> Conditions:
    text = conditions.text
    if text is None or text.embedding.shape[1] != null.embedding.shape[1]:
        length = None if text is None else text.embedding.shape[1]
        raise ValueError(
            f"guidance needs a prompt as long as the null text: {length} tokens against "
            f"{null.embedding.shape[1]}; encode both with the same length"
        )

    def interleave(one: Array, other: Array) -> Array:
        other = jnp.broadcast_to(other, one.shape).astype(one.dtype)
        return jnp.stack([one, other], axis=1).reshape(2 * batch, *one.shape[1:])

    mask = None
    if text.mask is not None or null.mask is not None:
        mask = interleave(_mask(text, batch), _mask(null, batch))
    doubled = Text(interleave(text.embedding, null.embedding), mask)
    return _twice(conditions._replace(text=None))._replace(text=doubled)


def _mask(text: Text, batch: int) -> Array:
    shape = (batch, text.embedding.shape[1])
    return jnp.broadcast_to(True if text.mask is None else text.mask, shape)


def _rescaled(estimate, wanted, rescale: float, x, time, config: DiffusionConfig) -> Estimate:
    """Scales what the network would have emitted, each example by its own ratio of deviations."""
    alpha, sigma = config.levels(time, x)
    guided, plain = (
        prediction.from_estimate(config.prediction, each, alpha, sigma)
        for each in (estimate, wanted)
    )
    axes = tuple(range(1, x.ndim))
    ratio = plain.std(axes, keepdims=True) / guided.std(axes, keepdims=True)
    emitted = guided * (rescale * ratio + 1 - rescale)
    rescaled = prediction.to_estimate(config.prediction, emitted, x, alpha, sigma)
    return rescaled._replace(variance=estimate.variance)
