"""Prompt accuracy: how many of the words of its prompt a clip shows, measured from its pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lumiere_jax.evaluation.heldout import CHANCE, rendered
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.input_pipeline.captions import read_caption
from lumiere_jax.metrics import measure_scene, motion_magnitude, temporal_flicker

Row = dict[str, Any]


def accuracy_of_clips(
    folder: ResultsFolder, names: Sequence[str], prompts: Sequence[str], seed: int
) -> dict[str, Any]:
    """Measures the clips, and true clips of the same prompts beside them.

    Returns:
      "accuracy" and "rendered": the fraction of clips that show each word, one object throughout
      ("one_object"), and all of these ("all"). "chance": of a word drawn from its list.
      "flicker", "motion": means of `temporal_flicker` and `motion_magnitude`. "clips": all rows.
    """
    rows, true_rows = [], []
    for number, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
        video = folder.read(name)
        rows.append({"prompt": prompt, "seed": seed + number} | measure(video, prompt))
        truth = rendered(prompt, *video.shape[:2], key=(seed, number))
        true_rows.append(measure(truth, prompt))
    return {
        "accuracy": fractions(rows),
        "rendered": fractions(true_rows),
        "chance": CHANCE,
        "flicker": _beside(rows, true_rows, "flicker"),
        "motion": _beside(rows, true_rows, "motion"),
        "clips": rows,
    }


def measure(video: UInt8[np.ndarray, "t h w 3"], prompt: str) -> Row:
    """What one clip shows, and which of its prompt's words are fulfilled."""
    found = measure_scene(video)
    agrees = found.agrees(read_caption(prompt))
    measured = dataclasses.asdict(found)
    measured["objects"] = [min(found.objects), max(found.objects)]
    return {
        "measured": measured,
        "agrees": agrees | {"all": all(agrees.values())},
        "flicker": temporal_flicker(video),
        "motion": motion_magnitude(video),
    }


def fractions(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The fraction of the clips that agree, by word."""
    return {
        word: float(np.mean([row["agrees"][word] for row in rows])) for word in rows[0]["agrees"]
    }


def _beside(rows: Sequence[Row], true_rows: Sequence[Row], name: str) -> dict[str, float]:
    sets = {"clips": rows, "rendered": true_rows}
    return {key: float(np.mean([row[name] for row in each])) for key, each in sets.items()}
