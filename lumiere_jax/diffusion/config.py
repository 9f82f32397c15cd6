"""The settings of a diffusion model (how it was trained), checked when they are made."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lumiere_jax.diffusion import schedule as schedules
from lumiere_jax.structure import check_choice, check_range

PREDICTIONS = ("noise", "velocity", "clean")
WEIGHTINGS = ("plain", "min_snr", "velocity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Noise schedule, what the network predicts, and how its errors are weighted.

    Attributes:
      schedule: "cosine" or "linear" in log-SNR, or a table of 1000 steps: "discrete_cosine"
        (DeepFloyd IF), "discrete_linear", "discrete_scaled_linear".
      shift: reference resolution / resolution, e.g. 64 / 128; moves the log-SNR of a continuous
        schedule by 2 log(shift) (arXiv 2301.11093). 1 leaves it.
      lowest_log_snr, highest_log_snr: ends of a continuous schedule, before the shift.
      time_shift: of the times that training draws: below 1 they crowd at high noise, where the
        schedule stays as it is, see `times.shift_times`. The loss counts them as they are drawn.
      zero_terminal_snr: rescale so that time 1 (timestep 999) is pure noise (arXiv 2305.08891).
      prediction: what the network emits: "noise", "velocity" (alpha noise - sigma clean) or
        "clean".
      weighting: of the loss over time: "plain"; "min_snr" (arXiv 2303.09556); or "velocity", which
        counts the error of the velocity whatever is predicted (see `loss.loss_weight`).
      min_snr_gamma: where the latter two cut, in units of the clean clip's squared error.
      snr_floor: what "min_snr" adds to the SNR, to keep some weight where hardly any signal is
        left: 0 is the paper's, 1 is "velocity".
      learned_variance: the network has twice the channels, and the hybrid loss trains the second
        half (Nichol & Dhariwal 2021).

    Raises:
      ValueError: a value that cannot be; the message names the field and the nearest that can.
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

        if self.weighting == "velocity" and self.prediction == "noise":
            raise ValueError(
                "weighting='velocity' needs prediction='clean' or 'velocity': near pure noise the "
                "velocity's error is without bound for 'noise'; use weighting='min_snr'"
            )
        if self.snr_floor and (self.weighting != "min_snr" or self.prediction == "noise"):
            raise ValueError(
                f"snr_floor={self.snr_floor} needs weighting='min_snr' and prediction='clean' or "
                "'velocity'; use snr_floor=0"
            )

    @property
    def discrete(self) -> bool:
        """Whether the schedule is a table of 1000 steps."""
        return self.schedule in schedules.BETAS

    def alpha_sigma(self, time: Any) -> tuple[Any, Any]:
        """alpha and sigma of x = alpha * clean + sigma * noise.

        Args:
          time: NumPy or Python numbers (computed in float64) or a JAX array; any shape. Below 0 it
            means the clean clip, (1, 0).
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
        """log(alpha² / sigma²); infinite at the clean clip and at zero terminal SNR."""
        alpha, sigma = self.alpha_sigma(time)
        if schedules.is_numpy(time):
            with np.errstate(divide="ignore"):
                return 2 * (np.log(alpha) - np.log(sigma))
        return 2 * (jnp.log(alpha) - jnp.log(sigma))

    def levels(
        self, time: Float[Array, " b"], like: Float[Array, "b ..."]
    ) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."]]:
        """alpha and sigma of each example, shaped [b, 1, 1, …] to multiply `like`."""
        alpha, sigma = self.alpha_sigma(jnp.asarray(time))
        shape = (-1,) + (1,) * (like.ndim - 1)
        return alpha.reshape(shape), sigma.reshape(shape)

    def add_noise(
        self, clean: Float[Array, "b ..."], noise: Float[Array, "b ..."], time: Float[Array, " b"]
    ) -> Float[Array, "b ..."]:
        """alpha * clean + sigma * noise: the clip as it is at `time`."""
        alpha, sigma = self.levels(time, clean)
        return alpha * clean + sigma * noise
