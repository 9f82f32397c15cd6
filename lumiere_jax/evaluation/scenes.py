"""Applications and super-resolution on held-out scenes, compared with the scenes' own clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from tqdm import tqdm

from lumiere_jax.evaluation.clips import Provider
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.metrics.pixels import psnr
from lumiere_jax.sampling.shrink import shrink_area
from lumiere_jax.video.pixel_values import from_uint8, to_uint8

Clip = UInt8[np.ndarray, "t h w 3"]
Videos = UInt8[np.ndarray, "n t h w 3"]


def check_conditioning(model: Lumiere, conditioning: str) -> None:
    """Raise a ValueError if the base takes no observed video and `conditioning` is "trained"."""
    if conditioning == "trained" and not model.cascade.base.network.config.observed:
        raise ValueError(
            "--conditioning=trained: this model was not fine-tuned on observed videos; pass "
            "--conditioning=free, or train its conditional stage (--config=…:conditional)"
        )


def measure_applications(
    provider: Provider,
    model: Lumiere,
    folder: ResultsFolder,
    *,
    scenes: int,
    seed: int,
    conditioning: str,
    samplers: Mapping[str, Any],
) -> dict[str, dict[str, float | None]]:
    """Run image-to-video, cinemagraph and inpainting of the middle, at the model's size.

    PSNR is over the pixels of all scenes together, in dB; None if no pixel differs.

    Returns:
      "first_frame", "kept" and "hidden": PSNR of the given frame, of the observed pixels and of the
      sampled ones, against the scene's own. "jump": change from frame 0, which is given, to frame
      1, which is sampled, over the scene's own. "moves": mean change from frame to frame inside the
      region, in grey levels.
    """
    frames, size = model.cascade.base.settings.frames, model.cascade.size
    prompts = provider.prompts(scenes, seed)
    truth = np.stack([provider.clip(p, frames, size, (seed, i)) for i, p in enumerate(prompts)])
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


def measure_refinement(
    provider: Provider,
    model: Lumiere,
    folder: ResultsFolder,
    *,
    scenes: int,
    seed: int,
    samplers: Mapping[str, Any],
) -> dict[str, float]:
    """Refine downsampled scenes; return PSNR against the originals in dB, mean over scenes.

    Returns:
      "refined": PSNR of the model's super-resolution. "bicubic": PSNR of bicubic interpolation.
    """
    settings, size = model.cascade.base.settings, model.cascade.size
    rows = []
    for number, prompt in enumerate(tqdm(provider.prompts(scenes, seed), "refining", unit="scene")):
        truth = provider.clip(prompt, settings.frames, size, (seed, number))
        low = shrunk(truth, settings.size)
        options = {"seed": seed + number, "samplers": samplers, "progress": False}
        made = folder.array(
            f"refined-{number:05d}",
            lambda p=prompt, low=low, o=options: model.upscale(p, low, **o).video,
        )
        rows.append((psnr(made, truth), psnr(bicubic(low, size), truth)))
    refined, interpolated = np.mean(rows, axis=0)
    return {"refined": float(refined), "bicubic": float(interpolated)}


def shrunk(clip: Clip, size: int) -> UInt8[np.ndarray, "t i i 3"]:
    """Downsample every frame by area to size × size, rounded to uint8 as stored clips are."""
    return np.asarray(to_uint8(shrink_area(from_uint8(clip)[None], size)))[0]


def bicubic(clip: Clip, size: int) -> UInt8[np.ndarray, "t i i 3"]:
    """Interpolate every frame to size × size."""
    to = (size, size), Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(frame).resize(*to)) for frame in clip])


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
    """Return the PSNR of all clips together, in dB; None for infinity, which JSON cannot store."""
    joined = None if mask is None else np.concatenate(mask)
    value = psnr(np.concatenate(videos), np.concatenate(truth), joined)
    return value if np.isfinite(value) else None


def _change(videos: Videos, mask: np.ndarray | None = None) -> float:
    """Return the mean absolute difference of neighbouring frames, in grey levels."""
    differences = np.abs(np.diff(videos.astype(np.int16), axis=1))
    return float(differences.mean() if mask is None else differences[mask[:, 1:]].mean())
