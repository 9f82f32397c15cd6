"""What a denoiser takes and gives. Samplers see these three names and never a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

from lumiere_jax.text.text import Text


class Estimate(NamedTuple):
    """A denoiser's answer about x = alpha * clean + sigma * noise.

    Attributes:
      clean: the clip without its noise.
      noise: the unit noise that was in it.
      variance: where the variance is learned, the fraction v of Nichol & Dhariwal 2021, eq. 15, as
        the network emits it: -1 is the posterior variance and 1 the step's beta. None otherwise.
    """

    clean: Float[Array, "b t h w c"]
    noise: Float[Array, "b t h w c"]
    variance: Float[Array, "b t h w c"] | None = None


class Conditions(NamedTuple):
    """Everything a denoiser is told besides x and time; a pytree, sliced by windows and tiles.

    Attributes:
      text: embeddings of the prompt.
      low_resolution: the clip to sharpen, already upsampled to x's size and noised.
      augmentation: how much noise it was given, level / 1000.
      observed: the known video, in [-1, 1]; 0 where nothing is known.
      mask: 1 where `observed` is known, else 0.
    """

    text: Text | None = None
    low_resolution: Float[Array, "b t h w c"] | None = None
    augmentation: Float[Array, " b"] | None = None
    observed: Float[Array, "b t h w c"] | None = None
    mask: Float[Array, "b t h w 1"] | None = None


Denoise = Callable[[Float[Array, "b t h w c"], Float[Array, " b"], Conditions], Estimate]
"""denoise(x, time, conditions) -> Estimate, with time [b] in [0, 1)."""
