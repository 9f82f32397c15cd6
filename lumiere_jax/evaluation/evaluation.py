"""The order of an evaluation: check everything, write the protocols, then measure."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumiere_jax.evaluation.clips import Provider, make_clips, score_clips
from lumiere_jax.evaluation.config import EvaluationConfig, protocols_of
from lumiere_jax.evaluation.moving_shapes import MovingShapesProvider
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.evaluation.scenes import (
    check_conditioning,
    measure_applications,
    measure_refinement,
)
from lumiere_jax.evaluation.video_distance import Features, distances, i3d_features
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.only_writer import only_writer
from lumiere_jax.video.contact_sheet import write_contact_sheet

SHEET_CLIPS = 16
FRAMES_A_ROW, FRAME_SCALE = 4, 4  # on the sheet of an image model


def evaluate(settings: EvaluationConfig, provider: Provider | None = None) -> dict[str, Any]:
    """Sample the clips that are missing, measure them, write evaluation.json and a contact sheet.

    Args:
      settings: quantities to measure, and settings of the sampler.
      provider: prompts, reference clips and scores; the synthetic set's when None.

    Returns:
      The sections by name, each with its "protocol" and the numbers of the function measuring it.

    Raises:
      FileNotFoundError: there is no such model, or no checkpoint of I3D.
      ValueError: settings that do not fit the model, or an output folder of other settings.
      BlockingIOError: another evaluation is writing there.
    """
    provider = provider or MovingShapesProvider()
    folder = ResultsFolder(settings.output)
    whole = Lumiere.load(settings.model)
    model = whole if settings.stages == "all" else whole.base_alone()
    _check(settings, whole)
    features = None
    if settings.fvd:
        features = i3d_features(settings.fvd_frames, settings.resize, settings.i3d_weights)
    protocols = protocols_of(settings, whole, model, provider.reference)
    with only_writer(folder.path, f"--output={folder.path}"):
        folder.claim(protocols)
        results = _measure(settings, provider, whole, model, folder, protocols, features)
        folder.write(results)
    return results


def _measure(
    settings: EvaluationConfig,
    provider: Provider,
    whole: Lumiere,
    model: Lumiere,
    folder: ResultsFolder,
    protocols: dict[str, Any],
    features: Features | None,
) -> dict[str, Any]:
    """Sample what is missing, and return the numbers of every section with its protocol."""
    seed = settings.seed
    prompts = provider.prompts(settings.prompts, seed)
    names = _clips(settings, model, folder, prompts)
    results: dict[str, Any] = {"prompts": score_clips(provider, folder, names, prompts, seed)}
    if settings.fvd:
        options = {"seed": seed, "frames": settings.fvd_frames, "features": features}
        results["fvd"] = distances(provider, folder, names, prompts, **options)
    shared = {"scenes": settings.scenes, "seed": seed}
    if "applications" in protocols:
        alone = whole.base_alone()
        options = {"conditioning": settings.conditioning, "samplers": settings.samplers(alone)}
        numbers = measure_applications(provider, alone, folder, **shared, **options)
        results["applications"] = numbers
    if "refinement" in protocols:
        samplers = settings.samplers(whole)
        numbers = measure_refinement(provider, whole, folder, **shared, samplers=samplers)
        results["refinement"] = numbers
    return {name: {"protocol": protocols[name]} | numbers for name, numbers in results.items()}


def _clips(
    settings: EvaluationConfig, model: Lumiere, folder: ResultsFolder, prompts: list[str]
) -> list[str]:
    """Sample the clips, write a sheet of the first ones, and return their names in the folder."""
    options = {"batch": settings.batch, "samplers": settings.samplers(model)}
    names = make_clips(model, folder, prompts, seed=settings.seed, **options)
    sheet = folder.path / "clips.png"
    if not sheet.exists():
        shown = [folder.read(name) for name in names[:SHEET_CLIPS]]
        write_contact_sheet(sheet, *_rows(shown, prompts[:SHEET_CLIPS]))
    return names


def _rows(shown: list[np.ndarray], prompts: list[str]) -> tuple[list[np.ndarray], list[str]]:
    """Return the rows of the sheet and their labels, a row for each clip.

    Single frames share rows, enlarged so that their prompts fit below.
    """
    if shown[0].shape[0] > 1:
        return shown, prompts
    frames = np.concatenate(shown).repeat(FRAME_SCALE, 1).repeat(FRAME_SCALE, 2)
    starts = range(0, len(prompts), FRAMES_A_ROW)
    return (
        [frames[start : start + FRAMES_A_ROW] for start in starts],
        ["; ".join(prompts[start : start + FRAMES_A_ROW]) for start in starts],
    )


def _check(settings: EvaluationConfig, model: Lumiere) -> None:
    """Raise a ValueError for settings that would otherwise fail after an hour of sampling."""
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
