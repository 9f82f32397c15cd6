"""Observed pixels stay observed: held in the clean estimate at every step."""

from __future__ import annotations

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.frames import rewrite


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
        alpha, sigma = config.levels(time, x[:, 0])

        def keep(estimates, read, _):
            (clean, noise), (x, observed, mask) = estimates, read
            derived = (x - alpha * observed) / sigma
            return mask * observed + (1 - mask) * clean, mask * derived + (1 - mask) * noise

        clean, noise = rewrite(keep, (estimate.clean, estimate.noise), (x, observed, mask))
        return estimate._replace(clean=clean, noise=noise)

    return held
