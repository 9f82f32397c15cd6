"""Configuration of sampling."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from lumiere_jax.diffusion.samplers import SAMPLERS
from lumiere_jax.diffusion.schedule import TIMESTEPS
from lumiere_jax.diffusion.times import SECTIONS, SPACINGS, shift_grid, spaced_times, with_jumps
from lumiere_jax.structure import check_choice, check_range, check_whole

VARIANCES = ("small", "large", "learned")
MAXIMUM_REPEATS = 100  # RePaint's largest is 20; each runs all steps of a stretch again
THRESHOLDS = ("none", "static", "dynamic")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """Sampler, times, guidance and thresholding.

    Attributes:
      sampler: "ddpm", "ddim", "euler", "heun", "dpm_solver" (DPM-Solver++ 2M), "dpm_solver_sde".
      steps: number of denoising steps, 1 to 1000. Heun calls the network twice per step.
      spacing: placement of the times: "trailing", "leading", "linspace", or a list of DeepFloyd IF
        such as "fast27", which fixes the number of steps.
      time_shift: shift of the times, see `times.shift_times`; below 1 more of them have high noise.
      eta: fresh noise of DDIM, from 0 (none) to 1 (as much as DDPM); 0 for the other samplers.
      variance: variance of DDPM's steps: "small" (the posterior's), "large" (beta), or "learned"
        if the network predicts it.
      jump_length: steps of a stretch that is resampled, see `times.with_jumps`; 0 for none.
      jump_repeats: number of times that each stretch is run; 1 for no resampling.
      guidance_scale: scale of classifier-free guidance; 1 for none.
      guidance_interval: lowest and highest time, in [0, 1], at which guidance acts.
      guidance_rescale: fraction of the rescaling of guided predictions, in [0, 1], see `guide`.
      threshold: thresholding of the clean estimate: "none", "static" or "dynamic".
      quantile: quantile of dynamic thresholding, in [0, 1], see `dynamic_threshold`.
      ceiling: largest divisor of dynamic thresholding, see `dynamic_threshold`.

    Raises:
      ValueError: an invalid value; the message names the field and the nearest valid value.
    """

    sampler: str = "ddim"
    steps: int = 50
    spacing: str = "trailing"
    time_shift: float = 1.0
    eta: float = 0.0
    variance: str = "small"
    jump_length: int = 0
    jump_repeats: int = 1
    guidance_scale: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0
    threshold: str = "static"
    quantile: float = 0.995
    ceiling: float = 1.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "guidance_interval", tuple(self.guidance_interval))
        check_choice("sampler", self.sampler, tuple(SAMPLERS))
        check_choice("spacing", self.spacing, (*SPACINGS, *SECTIONS))
        check_choice("variance", self.variance, VARIANCES)
        check_choice("threshold", self.threshold, THRESHOLDS)
        check_whole("steps", self.steps, 1, TIMESTEPS)
        check_range("time_shift", self.time_shift, 1 / 64, 64)
        check_range("eta", self.eta, 0, 1)
        check_whole("jump_length", self.jump_length, 0, TIMESTEPS)
        check_whole("jump_repeats", self.jump_repeats, 1, MAXIMUM_REPEATS)
        check_range("guidance_scale", self.guidance_scale, 0, 1000)
        check_range("guidance_rescale", self.guidance_rescale, 0, 1)
        check_range("quantile", self.quantile, 0, 1)
        check_range("ceiling", self.ceiling, 1, 1000)
        if self.eta and self.sampler != "ddim":
            raise ValueError(
                f"eta={self.eta} is DDIM's, and sampler={self.sampler!r} has none; "
                "use sampler='ddim', or eta=0"
            )
        if self.steps == 1 and self.spacing in ("leading", "linspace"):
            raise ValueError(
                f"steps=1 with spacing={self.spacing!r} starts where there is no noise, and so "
                "returns noise; use spacing='trailing'"
            )
        low, high = self.guidance_interval
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"guidance_interval={self.guidance_interval} must rise within [0, 1]; "
                "use (0.0, 1.0)"
            )

    @property
    def stochastic(self) -> bool:
        """Return True if steps draw fresh noise."""
        jumps = self.jump_length > 0 and self.jump_repeats > 1
        noisy = self.sampler in ("ddpm", "dpm_solver_sde")
        return jumps or noisy or (self.sampler == "ddim" and self.eta > 0)

    def times(self) -> Float[np.ndarray, " n"]:
        """Return the times to visit, from noise to CLEAN; they rise where a sampler jumps back."""
        times = shift_grid(spaced_times(self.spacing, self.steps), self.time_shift)
        return with_jumps(times, self.jump_length, self.jump_repeats)
