"""Training of a super-resolution network: downsample a clip, add noise, reconstruct it.

Both of SSR's stages do the same: `ssr_image` on frames and crops, then `ssr`, whose temporal half
learns on short segments. The low-resolution clip is upsampled and noised by the cascade's own
code (`stage.refine_conditions`), so that training and sampling cannot differ.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.denoiser import compose, denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions, Denoise
from lumiere_jax.diffusion.multidiffusion import WEIGHTS
from lumiere_jax.diffusion.sampling import sample
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.models.ssr import Upsampling, downsample, upsample
from lumiere_jax.parallel.collectives import mean_over_batch
from lumiere_jax.parallel.rows import Rows, all_rows
from lumiere_jax.sampling.low_resolution import refine_conditions
from lumiere_jax.sampling.stage import folded, frame_noise, normal
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.structure import check_choice, check_fields
from lumiere_jax.video.pixel_values import from_uint8

LAST_LEVEL = 0.999  # as for IF's 1000 levels: at 1 nothing of the clip would be left


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperResolutionConfig:
    """The low-resolution input of the network, in training and in sampling.

    Attributes:
      factor: pixels per side of the output for each pixel per side of the low-resolution clip.
      upsampling: interpolation to the output's size, see `models.ssr.upsample`.
      augmentation: lowest and highest noise level of the low-resolution clip in training, in
        [0, 1]; a level is drawn uniformly for each clip.
      sampling_augmentation: noise level of the low-resolution clip in sampling, in [0, 1).
      overlap: frames that neighbouring windows of a long clip share in sampling.
      weights: kind of window weights, see `diffusion.window_weights`.
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
        """Raise a ValueError unless the model refines, and clips of `size` pixels shrink.

        Args:
          model: configuration of the U-Net.
          size: pixels per side of the training clips.
        """
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
        """Return the default sampling configuration of the trained stage.

        Args:
          settings: configuration without anything about super-resolution.
        """
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
    rows: Rows | None = None,
) -> dict[str, Array]:
    """Return `low_resolution` and `augmentation` of a batch, as keywords of the network.

    Args:
      clean: clips in [-1, 1].
      key: random key of the noise and of its levels.
      config: low-resolution input; the result is empty when None.
      model: configuration of the U-Net; with `augmentation` it gets the noise level too.
      diffusion: schedule by which the low-resolution clip is noised.
      level: noise level of every clip, instead of random ones.
      rows: rows of the global batch that these clips are; all of it when None.
    """
    if config is None:
        return {}
    level_key, noise_key = jax.random.split(key)
    low, high = config.augmentation
    # Spread evenly over the batch like the times of the loss, in a random order.
    rows = rows or all_rows(len(clean))
    offset, order = jax.random.uniform(level_key), jax.random.permutation(level_key, rows.total)
    levels = rows.of(low + (high - low) * ((offset + order / rows.total) % 1))
    levels = jnp.full_like(levels, level) if level is not None else jnp.minimum(levels, LAST_LEVEL)
    noise = rows.normal(noise_key, clean.shape[1:])
    small = downsample(clean, config.factor)
    return refine_conditions(small, noise, levels, model, diffusion, config.upsampling)


def refine(
    denoise: Denoise,
    clean: Float[Array, "b t h w c"],
    conditions: Conditions,
    key: Key[Array, ""],
    experiment: Any,
    rows: Rows,
) -> Float[Array, "b t h w c"]:
    """Sample clips.

    Args:
      denoise: denoiser of the network.
      clean: clips of the shape to sample.
      conditions: result of `degrade`, and the text.
      key: random key of the noise.
      experiment: settings of the run, for schedule and sampler.
      rows: rows of the global batch that these clips are.
    """
    noise_keys, step_keys = (rows.keys(part) for part in jax.random.split(key))
    t, h, w, c = clean.shape[1:]
    shape = (t, h, w, c)
    return sample(
        denoise,
        normal(noise_keys, shape),
        conditions,
        experiment.diffusion,
        experiment.sampler,
        noise_at=lambda step: frame_noise(folded(step_keys, step), shape),
    )


def measure(
    objective: Any, params: Any, batch: dict[str, Array], key: Key[Array, ""], rows: Rows
) -> tuple[dict[str, Float[Array, ""]], Float[Array, "b t h w c"]]:
    """Measure the network's refinement of a batch beside interpolation; inside `jax.shard_map`.

    Args:
      objective: networks of the run.
      params: all parameters.
      batch: clips and captions, see `Objective.loss`.
      key: random key of the noise.
      rows: rows of the global batch that these are.

    Returns:
      PSNR in dB over all clips of all devices, of the samples and of the interpolated clips; and
      this device's clips interpolated, sampled, and original, side by side.
    """
    experiment = objective.experiment
    config, model = experiment.super_resolution, experiment.model
    clean = from_uint8(batch["video"])
    text = objective.encode(params, objective.drop_text(batch, key, rows))
    null = (
        None
        if text is None
        else objective.encode(params, jax.tree.map(jnp.asarray, objective.null))
    )
    level = config.sampling_augmentation
    given = degrade(clean, key, config, model, experiment.diffusion, level=level, rows=rows)
    unet = objective.unet_params(params)
    predict = denoiser_from_network(objective.unet.apply, unet, experiment.diffusion)
    denoise = compose(predict, experiment.diffusion, experiment.sampler, null=null)
    refined = refine(denoise, clean, Conditions(text=text, **given), key, experiment, rows)
    small = downsample(clean, config.factor)
    height, width = clean.shape[2:4]
    interpolated = upsample(small, height, width, config.upsampling)
    scores = {
        "psnr": decibels(jnp.clip(refined, -1, 1), clean),
        "psnr_interpolated": decibels(interpolated, clean),
    }
    return scores, jnp.concatenate([interpolated, refined, clean], 3)


def decibels(video: Float[Array, "..."], truth: Float[Array, "..."]) -> Float[Array, ""]:
    """Return the peak signal-to-noise ratio, in dB, of clips in [-1, 1] (peak to peak 2).

    It is that of the clips of all devices; inside `jax.shard_map`.

    Args:
      video: clips to judge.
      truth: original clips.
    """
    return 10 * jnp.log10(4 / mean_over_batch(jnp.mean((video - truth) ** 2)))
