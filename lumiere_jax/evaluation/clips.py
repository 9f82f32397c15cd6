"""Clips of an evaluation's prompts: sampled, and scored beside reference clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from lumiere_jax.applications.text_to_video import text_to_video
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.metrics.pixels import motion_magnitude, temporal_flicker

Row = dict[str, Any]


class Provider(Protocol):
    """The set that a model is evaluated on: prompts, reference clips and scores.

    Attributes:
      reference: description of the reference clips, part of the protocol of FVD.
    """

    reference: str

    def prompts(self, count: int, seed: int) -> list[str]:
        """Return `count` prompts; the seed decides their order."""
        ...

    def clip(
        self, prompt: str, frames: int, size: int, key: tuple[int, ...]
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Return a reference clip of a prompt; another key gives another one."""
        ...

    def score(self, video: UInt8[np.ndarray, "t h w 3"], prompt: str) -> Row:
        """Return "measured", the content found in a clip, and "agrees", a boolean for each word."""
        ...

    def chance(self, frames: int) -> dict[str, float]:
        """Return the accuracy of random guessing in clips of so many frames, by word."""
        ...


def make_clips(
    model: Lumiere,
    folder: ResultsFolder,
    prompts: Sequence[str],
    *,
    seed: int,
    batch: int,
    samplers: Mapping[str, SamplerConfig],
) -> list[str]:
    """Sample the clips that are missing; clip i has seed + i, in whichever batch it is sampled.

    Returns:
      Names of all clips in the folder.
    """
    names = [f"clip-{number:05d}" for number in range(len(prompts))]
    missing = [number for number, name in enumerate(names) if not folder.has(name)]
    done = len(prompts) - len(missing)
    with tqdm(total=len(prompts), initial=done, desc="clips", unit="clip") as bar:
        for start in range(0, len(missing), batch):
            numbers = missing[start : start + batch]
            request = text_to_video(
                [prompts[number] for number in numbers],
                [seed + number for number in numbers],
                frames=model.cascade.base.settings.frames,
            )
            made = model.make(request, samplers=samplers, progress=False)
            for number, clip in zip(numbers, made, strict=True):
                folder.keep(names[number], clip.video)
            bar.update(len(numbers))
    return names


def score_clips(
    provider: Provider,
    folder: ResultsFolder,
    names: Sequence[str],
    prompts: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Score the clips, and reference clips of the same prompts beside them.

    Returns:
      "accuracy" and "rendered": fractions of the clips, and of the reference clips, that agree
      with each word of their prompt. "chance": accuracy of random guessing. "flicker", "motion":
      means of `temporal_flicker` and `motion_magnitude`, absent for single frames. "clips": the
      rows of all clips.
    """
    rows, true_rows = [], []
    for number, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
        video = folder.read(name)
        rows.append({"prompt": prompt, "seed": seed + number} | _row(provider, video, prompt))
        truth = provider.clip(prompt, *video.shape[:2], key=(seed, number))
        true_rows.append(_row(provider, truth, prompt))
    frames = video.shape[0]
    results = {
        "accuracy": fractions(rows),
        "rendered": fractions(true_rows),
        "chance": provider.chance(frames),
    }
    if frames > 1:
        results |= {name: _means(rows, true_rows, name) for name in ("flicker", "motion")}
    return results | {"clips": rows}


def fractions(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return for each word the fraction of clips that agree, of those whose prompt names it."""
    agrees = [row["agrees"] for row in rows]
    words = max(agrees, key=len)
    return {word: float(np.mean([each[word] for each in agrees if word in each])) for word in words}


def _row(provider: Provider, video: UInt8[np.ndarray, "t h w 3"], prompt: str) -> Row:
    row = provider.score(video, prompt)
    if video.shape[0] == 1:
        return row
    return row | {"flicker": temporal_flicker(video), "motion": motion_magnitude(video)}


def _means(rows: Sequence[Row], true_rows: Sequence[Row], name: str) -> dict[str, float]:
    sets = {"clips": rows, "rendered": true_rows}
    return {key: float(np.mean([row[name] for row in each])) for key, each in sets.items()}
