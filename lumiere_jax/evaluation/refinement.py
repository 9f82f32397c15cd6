"""Super-resolution against the truth: scenes are rendered at its size, shrunk, and refined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from lumiere_jax.evaluation.heldout import rendered, spread_prompts
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.metrics.pixels import psnr
from lumiere_jax.sampling.pixels import from_uint8, shrink_area, to_uint8

Clip = UInt8[np.ndarray, "t h w 3"]


def refinement_numbers(
    model: Lumiere,
    folder: ResultsFolder,
    *,
    scenes: int,
    seed: int,
    samplers: Mapping[str, Any],
) -> dict[str, float]:
    """PSNR in dB against the rendered truth, mean over scenes: of the model, and of bicubic."""
    settings, size = model.cascade.base.settings, model.cascade.size
    rows = []
    for number, prompt in enumerate(tqdm(spread_prompts(scenes, seed), "refining", unit="scene")):
        truth = rendered(prompt, settings.frames, size, (seed, number))
        low = shrunk(truth, settings.size)
        options = {"seed": seed + number, "samplers": samplers, "progress": False}
        made = folder.array(
            f"refined-{number:05d}",
            lambda p=prompt, low=low, o=options: model.upscale(p, low, **o).video,
        )
        rows.append((psnr(made, truth), psnr(bicubic(low, size), truth)))
    refined, interpolated = np.mean(rows, axis=0)
    return {"refined": float(refined), "bicubic": float(interpolated)}


def shrunk(clip: Clip, size: int) -> Clip:
    """Every frame by area, and rounded as a stored clip is."""
    return to_uint8(shrink_area(from_uint8(clip)[None], size))[0]


def bicubic(clip: Clip, size: int) -> Clip:
    """Every frame interpolated to size × size."""
    to = (size, size), Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(frame).resize(*to)) for frame in clip])
