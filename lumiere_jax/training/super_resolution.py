"""How a super-resolution network is trained: a clip is shrunk, spoilt, and to be found again.

Both of SSR's stages do the same: `ssr_image` on frames and crops, then `ssr`, whose temporal half
learns on short segments. How the low-resolution clip is brought to size and noised is the cascade's
own code (`stage.refine_conditions`), so that training and sampling cannot differ.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lumiere_jax.diffusion.composition import compose
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.denoiser import denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions, Denoise
from lumiere_jax.diffusion.multidiffusion import WEIGHTS
from lumiere_jax.diffusion.sampling import sample
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.models.ssr import Upsampling, downsample, upsample
from lumiere_jax.sampling.low_resolution import refine_conditions
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.structure import check_choice, check_fields

LAST_LEVEL = 0.999  # as for IF's 1000 levels: at 1 nothing of the clip would be left


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperResolutionConfig:
    """What the network is given, in training and when it is sampled.

    Attributes:
      factor: pixels a side of its output for each one of the low-resolution clip.
      upsampling: how that clip is brought to the output's size, see `models.ssr.interpolation`.
      augmentation: lowest and highest level of the noise on it in training, in [0, 1]; drawn
        uniformly, once a clip.
      sampling_augmentation: that level when sampling.
      overlap: frames that the windows of a long clip share when sampling.
      weights: of the windows' opinions, see `diffusion.window_weights`.
    """

    factor: int = 4
    upsampling: Upsampling = "half_pixel"
    augmentation: tuple[float, float] = (0.0, 1.0)
    sampling_augmentation: float = 0.2
    overlap: int = 2
    weights: str = "uniform"

    def __post_init__(self):
        check_fields(
            self,
            whole={"factor": (2, 64), "overlap": (0, 1 << 16)},
            ranges={"augmentation": (0, 1), "sampling_augmentation": (0, LAST_LEVEL)},
        )
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("upsampling", self.upsampling, typing.get_args(Upsampling))
        low, high = self.augmentation
        if low > high:
            raise ValueError(f"augmentation={self.augmentation} must rise; use (0.0, 1.0)")

    def check(self, model: UNetConfig, size: int) -> None:
        """Raises a ValueError unless the model refines, and clips of `size` pixels shrink."""
        if not model.low_resolution:
            raise ValueError(
                "--config.super_resolution needs a model that reads a low-resolution clip; "
                "set --config.model.low_resolution=True"
            )
        if size % self.factor:
            raise ValueError(
                f"--config.super_resolution.factor={self.factor} does not divide clips of {size} "
                f"pixels; set --config.data.size={-(-size // self.factor) * self.factor}"
            )

    def stage_config(self, settings: StageConfig) -> StageConfig:
        """How the trained stage refines clips, by default."""
        return dataclasses.replace(
            settings,
            factor=self.factor,
            upsampling=self.upsampling,
            augmentation=self.sampling_augmentation,
            overlap=min(self.overlap, settings.frames - 1),
            weights=self.weights,
        )


def degrade(
    clean: Float[Array, "b t h w c"],
    key: Key[Array, ""],
    config: SuperResolutionConfig | None,
    model: UNetConfig,
    diffusion: DiffusionConfig,
    *,
    level: float | None = None,
) -> dict[str, Array]:
    """`low_resolution` and `augmentation` of a batch as the network takes them.

    Args:
      clean: clips in [-1, 1].
      key: of the noise on them, and of its level.
      config: nothing is given where it is None.
      model: whose `augmentation` says whether it is told the level.
      level: of every clip, instead of a random one.
    """
    if config is None:
        return {}
    level_key, noise_key = jax.random.split(key)
    low, high = config.augmentation
    # Even over the batch, like the times of the loss, but in another order than they are.
    offset, order = jax.random.uniform(level_key), jax.random.permutation(level_key, len(clean))
    levels = low + (high - low) * ((offset + order / len(clean)) % 1)
    levels = jnp.full_like(levels, level) if level is not None else jnp.minimum(levels, LAST_LEVEL)
    noise = jax.random.normal(noise_key, clean.shape)
    small = downsample(clean, config.factor)
    return refine_conditions(small, noise, levels, model, diffusion, config.upsampling)


def refine(
    denoise: Denoise,
    clean: Float[Array, "b t h w c"],
    conditions: Conditions,
    key: Key[Array, ""],
    experiment: Any,
) -> Float[Array, "b t h w c"]:
    """Clips sampled from the `conditions` that `degrade` made of `clean`."""
    noise_key, step_key = jax.random.split(key)
    return sample(
        denoise,
        jax.random.normal(noise_key, clean.shape),
        conditions,
        experiment.diffusion,
        experiment.sampler,
        key=step_key,
    )


def measure(
    objective: Any, params: Any, batch: dict[str, Array], key: Key[Array, ""]
) -> tuple[dict[str, Float[Array, ""]], Float[Array, "b t h w c"]]:
    """How much better than interpolation the network refines a batch.

    Returns:
      PSNR in dB over all clips, of the samples and of bilinear interpolation; and the clips
      interpolated, sampled, and as they were, side by side.
    """
    experiment = objective.experiment
    config, model = experiment.super_resolution, experiment.model
    clean = batch["video"].astype(jnp.float32) / 127.5 - 1
    text = objective.encode(params, objective.drop_text(batch, key))
    null = (
        None
        if text is None
        else objective.encode(params, jax.tree.map(jnp.asarray, objective.null))
    )
    level = config.sampling_augmentation
    given = degrade(clean, key, config, model, experiment.diffusion, level=level)
    predict = denoiser_from_network(objective.unet.apply, params["unet"], experiment.diffusion)
    denoise = compose(predict, experiment.diffusion, experiment.sampler, null=null)
    refined = refine(denoise, clean, Conditions(text=text, **given), key, experiment)
    small = downsample(clean, config.factor)
    height, width = clean.shape[2:4]
    interpolated = upsample(small, height, width, config.upsampling)
    scores = {
        "psnr": decibels(jnp.clip(refined, -1, 1), clean),
        "psnr_interpolated": decibels(interpolated, clean),
    }
    return scores, jnp.concatenate([interpolated, refined, clean], 3)


def decibels(video: Float[Array, "..."], truth: Float[Array, "..."]) -> Float[Array, ""]:
    """Peak signal-to-noise ratio of clips in [-1, 1], whose peak is 2."""
    return 10 * jnp.log10(4 / jnp.mean((video - truth) ** 2))
