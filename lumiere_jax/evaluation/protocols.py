"""What every number depends on: printed beside it, and compared before work goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lumiere_jax.checkpoints.dataclass_json import to_json
from lumiere_jax.checkpoints.fingerprint import fingerprint
from lumiere_jax.evaluation.settings import EvaluationConfig
from lumiere_jax.evaluation.video_distance import REAL, chosen_frames
from lumiere_jax.lumiere import Lumiere


def protocols_of(
    settings: EvaluationConfig, whole: Lumiere, model: Lumiere
) -> dict[str, Mapping[str, Any]]:
    """What every section's numbers depend on."""
    frames, size = whole.cascade.base.settings.frames, model.cascade.size
    clips = _identity(settings, model) | {"N": settings.prompts, "T": frames, "size": size}
    protocols: dict[str, Mapping[str, Any]] = {"prompts": clips | {"fps": whole.frame_rate}}
    if settings.fvd:
        stride = int(np.diff(chosen_frames(frames, settings.fvd_frames))[0])
        protocols["fvd"] = clips | {
            "T": settings.fvd_frames,
            "stride": stride,
            "fps": whole.frame_rate / stride,
            "resize": f"{settings.resize} to 224×224",
            "crop": "none",
            "real": REAL,
            "features": "I3D Kinetics-400 logits, mean over time",
            "divisor": "N-1",
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
    """Of the networks that refine: how a clip is cut up for them, and put together again."""
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
    """The networks by their weights, not their folder: a run may have trained on since."""
    stages = model.cascade.stages
    networks = {stage.name: (stage.network, stage.params) for stage in stages}
    if model.cascade.encoder is not None:
        networks["text"] = model.cascade.encoder
    weights = {
        name: fingerprint(net.config, params)[:16] for name, (net, params) in networks.items()
    }
    samplers = {name: to_json(config) for name, config in settings.samplers(model).items()}
    return {"model": model.name, "weights": weights, "seed": settings.seed, "samplers": samplers}
