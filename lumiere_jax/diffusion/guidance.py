"""Classifier-free guidance: extrapolation from the null text or a negative prompt to the prompt."""

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
    """Return the denoiser null + scale * (conditional - null) (Ho & Salimans 2022).

    The formula applies to the clean clip and to the noise. Both halves run as one doubled batch. A
    learned variance is the conditional half's.

    Args:
      denoise: denoiser that responds to text.
      scale: guidance scale; 1 returns `denoise` itself, without a second half.
      null: text of the other half, [1 or b, l, d]: the null text, or a negative prompt. Its length
        is that of the conditional text.
      interval: lowest and highest time, in [0, 1], at which guidance acts; at other times only the
        conditional half is computed (Kynkäänniemi et al., arXiv 2404.07724).
      rescale: fraction, in [0, 1], by which the standard deviation of the guided prediction is
        restored to the conditional one's (Lin et al., arXiv 2305.08891, eq. 15-16); 0 for none.
      config: schedule and prediction of the network; needed to rescale.

    Raises:
      ValueError: there is no null text, or the texts have different lengths (when called).
    """
    if scale == 1:
        return denoise
    if null is None:
        raise ValueError(f"guidance_scale={scale} needs the null text; or set guidance_scale=1")
    if rescale and config is None:
        raise ValueError("rescale needs config, to know what the network predicts")

    def guided(x, time, conditions: Conditions) -> Estimate:
        both = denoise(_twice(x), _twice(time), _both(conditions, null, x.shape[0]))
        conditional, other = (jax.tree.map(lambda a, i=i: a[i::2], both) for i in range(2))
        clean, noise = (b + scale * (a - b) for a, b in zip(conditional[:2], other[:2]))
        estimate = Estimate(clean, noise, conditional.variance)
        if config is None or not rescale:
            return estimate
        return _rescaled(estimate, conditional, rescale, x, time, config)

    if interval[0] <= 0 and interval[1] >= 1:
        return guided

    def guided_inside(x, time, conditions: Conditions) -> Estimate:
        inside = (time[0] >= interval[0]) & (time[0] <= interval[1])
        return jax.lax.cond(inside, guided, denoise, x, time, conditions)

    return guided_inside


def _twice(tree: Any) -> Any:
    """Repeat every example, the two side by side, so that no example changes its device."""
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


def _rescaled(estimate, conditional, rescale: float, x, time, config: DiffusionConfig) -> Estimate:
    """Scale the guided prediction, each example by its own ratio of standard deviations."""
    alpha, sigma = config.levels(time, x)
    guided, plain = (
        prediction.from_estimate(config.prediction, each, alpha, sigma)
        for each in (estimate, conditional)
    )
    axes = tuple(range(1, x.ndim))
    ratio = plain.std(axes, keepdims=True) / guided.std(axes, keepdims=True)
    predicted = guided * (rescale * ratio + 1 - rescale)
    rescaled = prediction.to_estimate(config.prediction, predicted, x, alpha, sigma)
    return rescaled._replace(variance=estimate.variance)
