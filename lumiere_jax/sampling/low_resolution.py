"""Low-resolution conditions of a super-resolution network."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.frames import rewrite
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.models.ssr import Upsampling, upsample
from lumiere_jax.sampling.stage_config import StageConfig


def refine_conditions(
    clip: Float[Array, "b t i j c"],
    noise: Float[Array, "b t h w c"],
    level: Float[Array, "b"],
    config: UNetConfig,
    diffusion: DiffusionConfig,
    upsampling: Upsampling,
) -> dict[str, Array]:
    """Return the low-resolution conditions of a network, as keywords of `apply`.

    "low_resolution" is the clip, upsampled and noised; "augmentation" is the noise level, for a
    network that embeds it (Saharia et al. 2022, section 2.4: noise conditioning augmentation). The
    noise is one field for the whole clip, so that all windows have the same input where they
    overlap.

    Args:
      clip: low-resolution clips, in [-1, 1].
      noise: standard normal noise of the size of the output.
      level: noise level of each clip, in [0, 1).
      config: configuration of the U-Net.
      diffusion: schedule by which the clips are noised.
      upsampling: interpolation to the size of the output.
    """
    height, width = noise.shape[2:4]
    clip = upsample(clip, height, width, upsampling)
    given = {"low_resolution": diffusion.add_noise(clip, noise, level)}
    return given | ({"augmentation": level} if config.augmentation else {})


def long_refine_conditions(
    clip: Float[Array, "b t i j c"],
    noise_of: Callable[[Array], Float[Array, "b h w c"]],
    shape: tuple[int, int, int, int],
    config: UNetConfig,
    settings: StageConfig,
) -> dict[str, Array]:
    """Return `refine_conditions` of a long clip, computed frame by frame to save memory.

    Args:
      clip: low-resolution clips, in [-1, 1].
      noise_of: function from the number of a frame to its noise, [b, h, w, c].
      shape: shape of an output clip, [t, h, w, c].
      config: configuration of the U-Net.
      settings: configuration of the stage: noise level, schedule and interpolation.
    """
    level = jnp.full(len(clip), settings.augmentation, jnp.float32)

    def conditions(small, noise):
        return refine_conditions(
            small[:, None], noise[:, None], level, config, settings.diffusion, settings.upsampling
        )

    def change(_, small, number):
        return conditions(small, noise_of(number))["low_resolution"][:, 0]

    given = {"low_resolution": rewrite(change, jnp.zeros((len(clip), *shape)), clip)}
    return given | ({"augmentation": level} if config.augmentation else {})


def check_low_resolution(clip: Float[Array, "b t i j c"], settings: StageConfig, name: str) -> None:
    """Raise a ValueError unless the clip has the size that the stage enlarges.

    Args:
      clip: low-resolution clips.
      settings: configuration of the stage.
      name: name of the stage, for the message.
    """
    short = min(clip.shape[2:4])
    if settings.factor is None or short * settings.factor == settings.size:
        return
    target = settings.size // settings.factor
    raise ValueError(
        f"--upscale: a clip of {short} pixels on the short side; stage {name!r} takes "
        f"{target} and makes {settings.size}: resize the clip to {target}"
    )
