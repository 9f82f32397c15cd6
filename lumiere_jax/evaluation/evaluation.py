"""The order of an evaluation: check everything, write down the protocol, then do the work."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumiere_jax.evaluation.accuracy import accuracy_of_clips
from lumiere_jax.evaluation.clips import make_clips
from lumiere_jax.evaluation.conditioned import application_numbers, check_conditioning
from lumiere_jax.evaluation.heldout import spread_prompts
from lumiere_jax.evaluation.protocols import protocols_of
from lumiere_jax.evaluation.refinement import refinement_numbers
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.evaluation.settings import EvaluationConfig
from lumiere_jax.evaluation.video_distance import Features, distances
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.only_writer import only_writer
from lumiere_jax.video.contact_sheet import write_contact_sheet

SHEET_CLIPS = 16
FRAMES_A_ROW, FRAME_SCALE = 4, 4  # of single frames


def evaluate(settings: EvaluationConfig) -> dict[str, Any]:
    """Makes what is missing, measures, and writes evaluation.json and a contact sheet.

    Args:
      settings: what to measure.

    Returns:
      The sections measured; of each "protocol" and numbers, see the functions of its file.

    Raises:
      FileNotFoundError: no such model, or FVD without weights.
      ValueError: settings that do not fit the model, or an output folder of other settings.
      BlockingIOError: another evaluation is writing there.
    """
    folder = ResultsFolder(settings.output)
    whole = Lumiere.load(settings.model)
    model = whole if settings.stages == "all" else whole.base_alone()
    _check(settings, whole)
    features = _i3d(settings) if settings.fvd else None
    protocols = protocols_of(settings, whole, model)
    with only_writer(folder.path, f"--output={folder.path}"):
        folder.claim(protocols)
        results = _measure(settings, whole, model, folder, protocols, features)
        folder.write(results)
    return results


def _measure(
    settings: EvaluationConfig,
    whole: Lumiere,
    model: Lumiere,
    folder: ResultsFolder,
    protocols: dict[str, Any],
    features: Features | None,
) -> dict[str, Any]:
    """Make what is missing, and return the numbers of every section with its protocol."""
    prompts = spread_prompts(settings.prompts, settings.seed)
    names = _clips(settings, model, folder, prompts)
    results: dict[str, Any] = {"prompts": accuracy_of_clips(folder, names, prompts, settings.seed)}
    if settings.fvd:
        options = {"seed": settings.seed, "frames": settings.fvd_frames, "features": features}
        results["fvd"] = distances(folder, names, prompts, **options)
    shared = {"scenes": settings.scenes, "seed": settings.seed}
    if "applications" in protocols:
        alone = whole.base_alone()
        options = {"conditioning": settings.conditioning, "samplers": settings.samplers(alone)}
        results["applications"] = application_numbers(alone, folder, **shared, **options)
    if "refinement" in protocols:
        samplers = settings.samplers(whole)
        results["refinement"] = refinement_numbers(whole, folder, **shared, samplers=samplers)
    return {name: {"protocol": protocols[name]} | numbers for name, numbers in results.items()}


def _clips(
    settings: EvaluationConfig, model: Lumiere, folder: ResultsFolder, prompts: list[str]
) -> list[str]:
    """Makes the clips and the sheet of the first; returns their names in the folder."""
    options = {"batch": settings.batch, "samplers": settings.samplers(model)}
    names = make_clips(model, folder, prompts, seed=settings.seed, **options)
    sheet = folder.path / "clips.png"
    if not sheet.exists():
        shown = [folder.read(name) for name in names[:SHEET_CLIPS]]
        write_contact_sheet(sheet, *_rows(shown, prompts[:SHEET_CLIPS]))
    return names


def _rows(shown: list[np.ndarray], prompts: list[str]) -> tuple[list[np.ndarray], list[str]]:
    """A row for each clip; single frames share one, enlarged so that their prompts fit below."""
    if shown[0].shape[0] > 1:
        return shown, prompts
    frames = np.concatenate(shown).repeat(FRAME_SCALE, 1).repeat(FRAME_SCALE, 2)
    starts = range(0, len(prompts), FRAMES_A_ROW)
    return (
        [frames[start : start + FRAMES_A_ROW] for start in starts],
        ["; ".join(prompts[start : start + FRAMES_A_ROW]) for start in starts],
    )


def _check(settings: EvaluationConfig, model: Lumiere) -> None:
    """Everything that would otherwise fail after an hour of sampling."""
    base = model.cascade.base
    if base.network.config.temporal is None and (settings.applications or settings.fvd):
        flag = "--applications" if settings.applications else "--fvd"
        raise ValueError(
            f"{flag}: --model={settings.model} makes single images; leave it out, or train the "
            "base stage (--config=…:base)"
        )
    if settings.applications:
        check_conditioning(model, settings.conditioning)
    if settings.fvd and not 2 <= settings.fvd_frames <= base.settings.frames:
        raise ValueError(
            f"--fvd_frames={settings.fvd_frames}: the model makes {base.settings.frames}; "
            f"use --fvd_frames={min(16, base.settings.frames)}"
        )


def _i3d(settings: EvaluationConfig) -> Features:
    from lumiere_jax.metrics.i3d import SHORTEST, i3d_logits
    from lumiere_jax.metrics.i3d_weights import read_i3d_weights

    if settings.fvd_frames < SHORTEST:
        raise ValueError(
            f"--fvd_frames={settings.fvd_frames}: I3D needs {SHORTEST} or more; --fvd_frames=16"
        )
    read_i3d_weights(settings.i3d_weights)  # are they there?
    options = {"resize": settings.resize, "weights": settings.i3d_weights, "progress": True}
    return lambda videos: i3d_logits(videos, **options)
