"""The interface of a denoiser: its conditions and its estimate. Samplers use no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

from lumiere_jax.text.text import Text


class Estimate(NamedTuple):
    """A denoiser's prediction for x = alpha * clean + sigma * noise.

    Attributes:
      clean: estimate of the clean clip.
      noise: estimate of the noise, of unit variance.
      variance: fraction v of Nichol & Dhariwal 2021, eq. 15, as the network predicts it: -1 for the
        posterior variance, 1 for the step's beta. None if the variance is not learned.
    """

    clean: Float[Array, "b t h w c"]
    noise: Float[Array, "b t h w c"]
    variance: Float[Array, "b t h w c"] | None = None


class Conditions(NamedTuple):
    """Inputs of a denoiser besides x and time; a pytree, sliced by windows and tiles.

    Attributes:
      text: embeddings of the prompts.
      low_resolution: low-resolution clips, upsampled to x's size and noised.
      augmentation: noise level of the low-resolution clips, in [0, 1); level / 1000 of IF.
      observed: observed video, in [-1, 1]; 0 where nothing is observed.
      mask: 1 where `observed` holds pixels of the video, else 0.
    """

    text: Text | None = None
    low_resolution: Float[Array, "b t h w c"] | None = None
    augmentation: Float[Array, " b"] | None = None
    observed: Float[Array, "b t h w c"] | None = None
    mask: Float[Array, "b t h w 1"] | None = None


Denoise = Callable[[Float[Array, "b t h w c"], Float[Array, " b"], Conditions], Estimate]
"""denoise(x, time, conditions) -> Estimate, with time [b] in [0, 1)."""
