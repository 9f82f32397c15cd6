"""The scheduler of a diffusers pipeline as our diffusion and sampler configurations.

Every field of `DDPMScheduler` that changes its results is read; values that our sampler does not
compute are refused. Guidance and steps are arguments of the pipeline's call and not in the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from lumiere_jax.checkpoints.safetensors_file import AGAIN
from lumiere_jax.checkpoints.tensor_folder import is_tensors_file
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.json_files import read_json
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.structure import check_range

FILE = "scheduler_config.json"
_SCHEDULES = {
    "squaredcos_cap_v2": "discrete_cosine",
    "linear": "discrete_linear",
    "scaled_linear": "discrete_scaled_linear",
}
_BETAS = {
    "linear": (1e-4, 2e-2),
    "scaled_linear": (0.00085, 0.012),
}  # first and last beta of our tables
_PREDICTIONS = {"epsilon": "noise", "v_prediction": "velocity", "sample": "clean"}
_VARIANCES = {
    "fixed_small": "small",
    "fixed_small_log": "small",  # the same, computed in logarithms
    "fixed_large": "large",
    "learned_range": "learned",
}
# diffusers' defaults of the fields that this module reads
_DEFAULTS = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 2e-2,
    "beta_schedule": "linear",
    "trained_betas": None,
    "variance_type": "fixed_small",
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "prediction_type": "epsilon",
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
    "timestep_spacing": "leading",
    "steps_offset": 0,
    "rescale_betas_zero_snr": False,
}


def scheduler_config(
    path: epath.PathLike, unet: UNetConfig, diffusion: DiffusionConfig, sampler: SamplerConfig
) -> tuple[DiffusionConfig, SamplerConfig]:
    """Return the settings of a pipeline's scheduler; the given ones if it has no scheduler file.

    Args:
      path: folder of a pipeline, with `scheduler/scheduler_config.json`, or its `unet` folder.
      unet: configuration of the pipeline's U-Net.
      diffusion: settings of a pipeline without the file.
      sampler: settings of a pipeline without the file; steps and guidance of every pipeline.

    Raises:
      ValueError: a scheduler, or a value of one of its fields, that our samplers do not compute.
    """
    file = _find(epath.Path(path), "scheduler")
    if file is None:
        return diffusion, sampler
    found = _read(file)
    learned = unet.out_channels == 2 * unet.in_channels
    if found["variance_type"] == "learned_range" and not learned:
        raise ValueError(
            f"{file}: variance_type is 'learned_range', but the U-Net has {unet.out_channels} "
            f"output channels, not {2 * unet.in_channels}; expected 'fixed_small'"
        )
    noising = _find(epath.Path(path), "image_noising_scheduler")
    if noising is not None:
        _check_same_noise(noising, found)
    try:
        return _diffusion(found, learned), _sampler(found, sampler)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _find(path: epath.Path, name: str) -> epath.Path | None:
    """Return the scheduler's file of a pipeline, given its folder or its `unet`; None without."""
    path = path.parent if is_tensors_file(path) else path
    pipeline = path.parent if path.name == "unet" else path
    file = pipeline / name / FILE
    return file if file.exists() else None


def _read(file: epath.Path) -> dict[str, Any]:
    """Return all fields; raise a ValueError for values that we do not compute."""
    found = _DEFAULTS | read_json(file, advice=AGAIN)
    for field in ("clip_sample", "thresholding", "rescale_betas_zero_snr"):
        if not isinstance(found[field], bool):
            raise ValueError(f"{file}: {field} is {found[field]!r:.40}, expected true or false")
    allowed: dict[str, tuple[Any, ...]] = {
        "_class_name": ("DDPMScheduler",),
        "num_train_timesteps": (1000,),
        "beta_schedule": tuple(_SCHEDULES),
        "trained_betas": (None,),
        "variance_type": tuple(_VARIANCES),
        "prediction_type": tuple(_PREDICTIONS),
        "timestep_spacing": ("leading", "trailing", "linspace"),
    }
    if found["beta_schedule"] in tuple(_BETAS):
        start, end = _BETAS[found["beta_schedule"]]
        allowed |= {"beta_start": (start,), "beta_end": (end,)}
    if found["timestep_spacing"] == "leading":
        allowed["steps_offset"] = (0,)
    if found["clip_sample"] and not found["thresholding"]:
        allowed["clip_sample_range"] = (1,)
    for field, values in allowed.items():
        if found[field] not in values:
            choice = " or ".join(repr(value) for value in values)
            raise ValueError(f"{file}: {field} is {found[field]!r:.80}, expected {choice}")
    if found["thresholding"]:
        check_range(
            f"{file}: dynamic_thresholding_ratio", found["dynamic_thresholding_ratio"], 0, 1
        )
        check_range(f"{file}: sample_max_value", found["sample_max_value"], 1, 1000)
    return found


def _check_same_noise(noising: epath.Path, found: Mapping[str, Any]) -> None:
    """Raise a ValueError if the low-resolution image has another noise schedule than the network.

    Our super-resolution stages have one schedule for both.
    """
    theirs = _read(noising)
    for field in ("beta_schedule", "rescale_betas_zero_snr"):
        if theirs[field] != found[field]:
            raise ValueError(f"{noising}: {field} is {theirs[field]!r}, expected {found[field]!r}")


def _diffusion(found: Mapping[str, Any], learned: bool) -> DiffusionConfig:
    return DiffusionConfig(
        schedule=_SCHEDULES[found["beta_schedule"]],
        prediction=_PREDICTIONS[found["prediction_type"]],
        zero_terminal_snr=found["rescale_betas_zero_snr"],
        learned_variance=learned,
    )


def _sampler(found: Mapping[str, Any], sampler: SamplerConfig) -> SamplerConfig:
    changes = {"threshold": "static" if found["clip_sample"] else "none"}
    if found["thresholding"]:  # replaces clipping
        changes = {
            "threshold": "dynamic",
            "quantile": found["dynamic_thresholding_ratio"],
            "ceiling": found["sample_max_value"],
        }
    return dataclasses.replace(
        sampler,
        sampler="ddpm",
        spacing=found["timestep_spacing"],
        variance=_VARIANCES[found["variance_type"]],
        **changes,
    )
