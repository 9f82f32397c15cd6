"""Prompt accuracy: how many of the words of its prompt a clip shows, measured from its pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lumiere_jax.evaluation.heldout import CHANCE, rendered
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.metrics.pixels import motion_magnitude, temporal_flicker
from lumiere_jax.moving_shapes.captions import read_caption
from lumiere_jax.moving_shapes.shapes import measure_frame, measure_scene
from lumiere_jax.moving_shapes.trails import STRAIGHT

Row = dict[str, Any]


def accuracy_of_clips(
    folder: ResultsFolder, names: Sequence[str], prompts: Sequence[str], seed: int
) -> dict[str, Any]:
    """Measures the clips, and true clips of the same prompts beside them.

    Returns:
      "accuracy" and "rendered": the fraction of clips that show each word, one object throughout
      ("one_object"), and all of these ("all"). "chance": of a word drawn from its list.
      "flicker", "motion": means of `temporal_flicker` and `motion_magnitude`. "clips": all rows.
      For an image model, of single frames: motion is the direction of the trail, where the prompt
      tells one, and nothing flickers.
    """
    rows, true_rows = [], []
    for number, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
        video = folder.read(name)
        rows.append({"prompt": prompt, "seed": seed + number} | measure(video, prompt))
        truth = rendered(prompt, *video.shape[:2], key=(seed, number))
        true_rows.append(measure(truth, prompt))
    single = video.shape[0] == 1
    results = {
        "accuracy": fractions(rows),
        "rendered": fractions(true_rows),
        "chance": CHANCE | ({"motion": 1 / len(STRAIGHT)} if single else {}),
    }
    if not single:
        results |= {name: _beside(rows, true_rows, name) for name in ("flicker", "motion")}
    return results | {"clips": rows}


def measure(video: UInt8[np.ndarray, "t h w 3"], prompt: str) -> Row:
    """What one clip, or one frame, shows, and which of its prompt's words are fulfilled."""
    single, told = video.shape[0] == 1, read_caption(prompt)
    found = measure_frame(video[0]) if single else measure_scene(video)
    agrees = found.agrees(told)
    if single and told.motion not in STRAIGHT:
        del agrees["motion"]
    measured = dataclasses.asdict(found)
    measured["objects"] = [min(found.objects), max(found.objects)]
    row = {"measured": measured, "agrees": agrees | {"all": all(agrees.values())}}
    if single:
        return row
    return row | {"flicker": temporal_flicker(video), "motion": motion_magnitude(video)}


def fractions(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The fraction of the clips that agree, by word; of those whose prompt tells it."""
    agrees = [row["agrees"] for row in rows]
    words = max(agrees, key=len)
    return {word: float(np.mean([each[word] for each in agrees if word in each])) for word in words}


def _beside(rows: Sequence[Row], true_rows: Sequence[Row], name: str) -> dict[str, float]:
    sets = {"clips": rows, "rendered": true_rows}
    return {key: float(np.mean([row[name] for row in each])) for key, each in sets.items()}
