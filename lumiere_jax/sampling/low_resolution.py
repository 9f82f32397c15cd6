"""What a super-resolution network is told of the clip that it refines."""

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
    """What the network is told of a low-resolution clip, as keywords of `apply`.

    The clip at the size of `noise` and noised to `level`, and that level where the network embeds
    it (Saharia et al. 2022, section 2.4: noise conditioning augmentation). The noise is one field
    for the whole clip, so that windows agree on what they are given.
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
    """The same in the memory of the result: each frame is interpolated and noised by itself.

    Args:
      noise_of: a frame's noise, by its number.
      shape: of a clip, [t, h, w, c].
    """
    level = jnp.full(len(clip), settings.augmentation, jnp.float32)

    def told(small, noise):
        return refine_conditions(
            small[:, None], noise[:, None], level, config, settings.diffusion, settings.upsampling
        )

    def change(_, small, number):
        return told(small, noise_of(number))["low_resolution"][:, 0]

    given = {"low_resolution": rewrite(change, jnp.zeros((len(clip), *shape)), clip)}
    return given | ({"augmentation": level} if config.augmentation else {})


def check_low_resolution(clip: Float[Array, "b t i j c"], settings: StageConfig, name: str) -> None:
    """Raises a ValueError for a clip of another size than the stage of that name enlarges."""
    short = min(clip.shape[2:4])
    if settings.factor is None or short * settings.factor == settings.size:
        return
    wanted = settings.size // settings.factor
    raise ValueError(
        f"--upscale: a clip of {short} pixels on the short side; stage {name!r} takes "
        f"{wanted} and makes {settings.size}: resize the clip to {wanted}"
    )
