"""What to measure, how to sample for it, and what the numbers then depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from lumiere_jax.checkpoints.fingerprint import model_fingerprint
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.evaluation.video_distance import chosen_frames
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.metrics.fvd import features_protocol
from lumiere_jax.sampling.request import check_seed
from lumiere_jax.structure import check_whole, to_dict


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What to measure; each field is a flag of `lumiere_jax.evaluate`.

    Attributes:
      model: model folder, or a training run.
      output: folder of the results; an evaluation that was interrupted there is resumed.
      prompts: number of held-out prompts, a clip each.
      seed: seed of the prompts' order, of the first clip and of the reference clips.
      batch: clips sampled at a time.
      stages: "base", or "all" for super-resolution too.
      sampler, steps, guidance_scale: replacements of the model's own sampler settings.
      fvd: True to compute the Fréchet video distance as well.
      fvd_frames: frames of each clip that FVD compares.
      resize: rule by which FVD resizes frames, one of `metrics.i3d.Rule`.
      i3d_weights: checkpoint of I3D; that of the installed package when None.
      applications: True to measure image-to-video, cinemagraph, inpainting and super-resolution.
      conditioning: conditioning of the applications, "trained" or "free".
      scenes: number of held-out scenes of each application.

    Raises:
      ValueError: a number is out of range.
    """

    model: str
    output: str
    prompts: int = 200
    seed: int = 0
    batch: int = 8
    stages: str = "base"
    sampler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    fvd: bool = False
    fvd_frames: int = 16
    resize: str = "half_pixel"
    i3d_weights: str | None = None
    applications: bool = False
    conditioning: str = "trained"
    scenes: int = 4

    def __post_init__(self):
        # Each is a clip or scene that takes seconds: more than these would take months.
        for name, most in (("prompts", 10**6), ("batch", 4096), ("scenes", 10**5)):
            check_whole(f"--{name}", getattr(self, name), 1, most)
        check_seed(self.seed)
        check_seed(self.seed + self.prompts - 1)
        if self.fvd and self.prompts < 2:
            raise ValueError("--fvd needs two clips at least: use --prompts=200")

    def samplers(self, model: Lumiere) -> dict[str, SamplerConfig]:
        """Return the sampler of every stage of the model, with the fields that were given."""
        names = ("sampler", "steps", "guidance_scale")
        given = {name: getattr(self, name) for name in names}
        return model.samplers(**{name: value for name, value in given.items() if value is not None})


def protocols_of(
    settings: EvaluationConfig, whole: Lumiere, model: Lumiere, reference: str
) -> dict[str, Mapping[str, Any]]:
    """Return everything that the numbers of each section depend on.

    Args:
      settings: quantities to measure, and settings of the sampler.
      whole: the model with all of its stages.
      model: the stages of it that sample the prompts' clips.
      reference: description of the clips that FVD compares with.
    """
    frames, size = whole.cascade.base.settings.frames, model.cascade.size
    clips = _identity(settings, model) | {"N": settings.prompts, "T": frames, "size": size}
    protocols: dict[str, Mapping[str, Any]] = {"prompts": clips | {"fps": whole.frame_rate}}
    if settings.fvd:
        stride = int(np.diff(chosen_frames(frames, settings.fvd_frames))[0])
        protocols["fvd"] = clips | {
            "T": settings.fvd_frames,
            "stride": stride,
            "fps": whole.frame_rate / stride,
            "crop": "none",
            "real": reference,
            **features_protocol(settings.resize),
        }
    if not settings.applications:
        return protocols
    scenes = {"N": settings.scenes, "T": frames}
    alone = whole.base_alone()
    own = {"size": alone.cascade.size, "conditioning": settings.conditioning}
    protocols["applications"] = _identity(settings, alone) | scenes | own
    if any(stage.refines for stage in whole.cascade.stages):
        sizes = {"size": [alone.cascade.size, whole.cascade.size]}
        windows = {"windows": _windows(whole)}
        protocols["refinement"] = _identity(settings, whole) | scenes | sizes | windows
    return protocols


def _windows(model: Lumiere) -> dict[str, dict[str, Any]]:
    """Return, for each network that refines, its windows of frames and its tiles of pixels."""
    return {
        stage.name: {
            "frames": stage.settings.window or stage.settings.frames,
            "overlap": stage.settings.overlap,
            "weights": stage.settings.weights,
            "tile": stage.settings.tile,
            "tile_overlap": stage.settings.tile and stage.settings.tile_overlap,
        }
        for stage in model.cascade.stages
        if stage.refines
    }


def _identity(settings: EvaluationConfig, model: Lumiere) -> dict[str, Any]:
    """Return the model's name, seed, samplers and a hash of the parameters of each network.

    Networks are known by their parameters, not by their folder: a run may have trained on since.
    """
    stages = model.cascade.stages
    networks = {stage.name: (stage.network, stage.params) for stage in stages}
    if model.cascade.encoder is not None:
        networks["text"] = model.cascade.encoder
    weights = {
        name: model_fingerprint(net.config, params)[:16] for name, (net, params) in networks.items()
    }
    samplers = {name: to_dict(config) for name, config in settings.samplers(model).items()}
    return {"model": model.name, "weights": weights, "seed": settings.seed, "samplers": samplers}
