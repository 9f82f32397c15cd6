"""Applications on held-out scenes: is what was given still there, and does the rest fit it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from lumiere_jax.evaluation.heldout import rendered, spread_prompts
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.metrics.pixels import psnr

Videos = UInt8[np.ndarray, "n t h w 3"]


def check_conditioning(model: Lumiere, conditioning: str) -> None:
    """Raises a ValueError where the base cannot be shown an observed video."""
    if conditioning == "trained" and not model.cascade.base.network.config.observed:
        raise ValueError(
            "--conditioning=trained: this model was not fine-tuned on observed videos; pass "
            "--conditioning=free, or train its conditional stage (--config=…:conditional)"
        )


def application_numbers(
    model: Lumiere,
    folder: ResultsFolder,
    *,
    scenes: int,
    seed: int,
    conditioning: str,
    samplers: Mapping[str, Any],
) -> dict[str, dict[str, float | None]]:
    """Image-to-video, cinemagraph and inpainting of the middle, at the model's size.

    PSNR is that of the pixels of all scenes together, in dB; None where none of them differs.

    Returns:
      "first_frame", "kept" and "hidden": PSNR of the frame that was given, of the pixels that were
      kept, and of those made anew, against the scene's own. "jump": change from frame 0, which is
      given, to frame 1, which is made, over the scene's own. "moves": mean change from frame to
      frame inside of the region, in grey levels.
    """
    frames, size = model.cascade.base.settings.frames, model.cascade.size
    prompts = spread_prompts(scenes, seed)
    truth = np.stack([rendered(p, frames, size, (seed, i)) for i, p in enumerate(prompts)])
    quarter = size // 4
    box = {"boxes": [(quarter, quarter, size - quarter, size - quarter)]}

    def given(number: int) -> dict[str, Any]:
        options = {"conditioning": conditioning, "samplers": samplers, "progress": False}
        return options | {"seed": seed + number}

    make = {
        "image_to_video": lambda n: model.image_to_video(prompts[n], truth[n, 0], **given(n)),
        "cinemagraph": lambda n: model.cinemagraph(prompts[n], truth[n, 0], **box, **given(n)),
        "inpaint": lambda n: model.inpaint(prompts[n], truth[n], **box, **given(n)),
    }
    made: dict[str, list[np.ndarray]] = {name: [] for name in make}
    for n in tqdm(range(scenes), "applications", unit="scene"):
        for name, call in make.items():
            clip = folder.array(f"{name}-{n:05d}", lambda call=call, n=n: call(n).video)
            made[name].append(clip)
    hidden = np.zeros(truth.shape[:-1], bool)
    hidden[:, :, quarter : size - quarter, quarter : size - quarter] = True
    return _numbers(truth, hidden, *(np.stack(clips) for clips in made.values()))


def _numbers(
    truth: Videos,
    hidden: Bool[np.ndarray, "n t h w"],
    begun: Videos,
    living: Videos,
    filled: Videos,
) -> dict[str, dict[str, float | None]]:
    still = np.broadcast_to(truth[:, :1], truth.shape)
    return {
        "image_to_video": {
            "first_frame": _psnr(begun[:, :1], truth[:, :1]),
            "jump": _change(begun[:, :2]) / max(_change(truth[:, :2]), 0.5),
        },
        "cinemagraph": {
            "kept": _psnr(living, still, ~hidden),
            "moves": _change(living, hidden),
        },
        "inpaint": {
            "kept": _psnr(filled, truth, ~hidden),
            "hidden": _psnr(filled, truth, hidden),
        },
    }


def _psnr(videos: Videos, truth: Videos, mask: np.ndarray | None = None) -> float | None:
    """Of all clips as one; None, which JSON knows, in place of infinity."""
    joined = None if mask is None else np.concatenate(mask)
    value = psnr(np.concatenate(videos), np.concatenate(truth), joined)
    return value if np.isfinite(value) else None


def _change(videos: Videos, mask: np.ndarray | None = None) -> float:
    """Mean absolute difference of neighbouring frames."""
    differences = np.abs(np.diff(videos.astype(np.int16), axis=1))
    return float(differences.mean() if mask is None else differences[mask[:, 1:]].mean())
