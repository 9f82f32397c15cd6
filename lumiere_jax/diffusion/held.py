"""Observed pixels stay observed: held in the clean estimate at every step."""

from __future__ import annotations

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate


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
        alpha, sigma = config.levels(time, x)
        derived = (x - alpha * observed) / sigma
        return estimate._replace(
            clean=mask * observed + (1 - mask) * estimate.clean,
            noise=mask * derived + (1 - mask) * estimate.noise,
        )

    return held
