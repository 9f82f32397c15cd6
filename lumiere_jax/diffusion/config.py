"""Configuration of a diffusion model: the settings that it was trained with."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lumiere_jax.diffusion import schedule as schedules
from lumiere_jax.structure import check_choice, check_range

PREDICTIONS = ("noise", "velocity", "clean")
WEIGHTINGS = ("plain", "min_snr")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Noise schedule, prediction of the network, and loss weights.

    Attributes:
      schedule: name: "cosine" or "linear" in log-SNR, or a table of 1000 steps: "discrete_cosine"
        (DeepFloyd IF), "discrete_linear", "discrete_scaled_linear".
      shift: reference resolution / resolution, e.g. 64 / 128; moves the log-SNR of a continuous
        schedule by 2 log(shift) (arXiv 2301.11093). 1 does not move it.
      lowest_log_snr: log-SNR at time 1 of a continuous schedule, before the shift.
      highest_log_snr: log-SNR at time 0 of a continuous schedule, before the shift.
      time_shift: shift of the times drawn in training, see `times.shift_times`; below 1 more of
        them have high noise. The schedule stays the same, and the loss is not corrected for it.
      zero_terminal_snr: True to rescale the schedule so that time 1 (timestep 999) is pure noise
        (arXiv 2305.08891).
      prediction: output of the network: "noise", "velocity" (alpha noise - sigma clean) or "clean".
      weighting: loss weights over time: "plain", or "min_snr" (arXiv 2303.09556); see
        `loss.loss_weight`.
      min_snr_gamma: upper limit of the min-SNR weight of the clean clip's squared error.
      snr_floor: number that "min_snr" adds to the SNR, in [0, 1]: 0 as in the paper; 1 for the
        squared error of the velocity, whatever is predicted.
      learned_variance: True if the network has twice the channels, and the hybrid loss trains the
        second half (Nichol & Dhariwal 2021).

    Raises:
      ValueError: an invalid value; the message names the field and the nearest valid value.
    """

    schedule: str = "cosine"
    shift: float = 1.0
    lowest_log_snr: float = -15.0
    highest_log_snr: float = 15.0
    time_shift: float = 1.0
    zero_terminal_snr: bool = False
    prediction: str = "velocity"
    weighting: str = "plain"
    min_snr_gamma: float = 5.0
    snr_floor: float = 0.0
    learned_variance: bool = False

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, schedules.SCHEDULES)
        check_choice("prediction", self.prediction, PREDICTIONS)
        check_choice("weighting", self.weighting, WEIGHTINGS)
        check_range("shift", self.shift, 1 / 64, 64)
        check_range("time_shift", self.time_shift, 1 / 64, 64)
        check_range("min_snr_gamma", self.min_snr_gamma, 1e-3, 1e6)
        check_range("snr_floor", self.snr_floor, 0, 1)
        check_range("lowest_log_snr", self.lowest_log_snr, -30, self.highest_log_snr - 1)
        check_range("highest_log_snr", self.highest_log_snr, self.lowest_log_snr + 1, 30)
        if self.discrete and self.shift != 1:
            raise ValueError(
                f"shift={self.shift} moves only the schedules 'cosine' and 'linear'; "
                f"with {self.schedule!r} use shift=1"
            )
        if self.zero_terminal_snr and self.prediction == "noise":
            raise ValueError(
                "zero_terminal_snr=True needs prediction='velocity' or 'clean': at the last step "
                "there is no signal left to tell from the noise"
            )
        if self.snr_floor and (self.weighting != "min_snr" or self.prediction == "noise"):
            raise ValueError(
                f"snr_floor={self.snr_floor} needs weighting='min_snr' and prediction='clean' or "
                "'velocity'; use snr_floor=0"
            )

    @property
    def discrete(self) -> bool:
        """Return True if the schedule is a table of 1000 steps."""
        return self.schedule in schedules.BETAS

    def alpha_sigma(self, time: Any) -> tuple[Any, Any]:
        """Compute alpha and sigma of x = alpha * clean + sigma * noise.

        Args:
          time: times, NumPy or Python numbers (computed in float64) or a JAX array; any shape. A
            time below 0 is the clean clip, (1, 0).
        """
        if self.discrete:
            return schedules.discrete_alpha_sigma(self.schedule, self.zero_terminal_snr, time)
        return schedules.continuous_alpha_sigma(
            self.schedule,
            self.shift,
            self.lowest_log_snr,
            self.highest_log_snr,
            self.zero_terminal_snr,
            time,
        )

    def log_snr(self, time: Any) -> Any:
        """Compute log(alpha² / sigma²); infinite at the clean clip and at zero terminal SNR.

        Args:
          time: times, see `alpha_sigma`.
        """
        alpha, sigma = self.alpha_sigma(time)
        if schedules.is_numpy(time):
            with np.errstate(divide="ignore"):
                return 2 * (np.log(alpha) - np.log(sigma))
        return 2 * (jnp.log(alpha) - jnp.log(sigma))

    def levels(
        self, time: Float[Array, " b"], like: Float[Array, "b ..."]
    ) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."]]:
        """Compute alpha and sigma of each example, shaped [b, 1, 1, …] to multiply an array.

        Args:
          time: time of each example.
          like: array to be multiplied.
        """
        alpha, sigma = self.alpha_sigma(jnp.asarray(time))
        shape = (-1,) + (1,) * (like.ndim - 1)
        return alpha.reshape(shape), sigma.reshape(shape)

    def add_noise(
        self, clean: Float[Array, "b ..."], noise: Float[Array, "b ..."], time: Float[Array, " b"]
    ) -> Float[Array, "b ..."]:
        """Compute alpha * clean + sigma * noise, the noisy clip.

        Args:
          clean: clean clips.
          noise: standard normal noise.
          time: time of each clip.
        """
        alpha, sigma = self.levels(time, clean)
        return alpha * clean + sigma * noise
