"""`python -m lumiere_jax.evaluate`, on a model of random parameters and a few clips of 8 frames."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from lumiere_jax.checkpoints import Model, read_model, write_model
from lumiere_jax.evaluation import EvaluationConfig, ResultsFolder, evaluate, table
from lumiere_jax.evaluation.clips import fractions
from lumiere_jax.evaluation.moving_shapes import MovingShapesProvider
from lumiere_jax.evaluation.scenes import bicubic, shrunk
from lumiere_jax.evaluation.video_distance import chosen_frames, distances, shuffled
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.models.stunet import spatial_half, spatial_params
from lumiere_jax.moving_shapes.captions import read_caption
from lumiere_jax.moving_shapes.dataset import heldout_prompts
from lumiere_jax.moving_shapes.motions import STRAIGHT
from tests.tiny import tiny_model

PROVIDER = MovingShapesProvider()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Write a model folder: base of 8 frames of 16×16, super-resolution to 32×32."""
    tiny = tiny_model(refined=True)
    sizes = {"base": {"frames": 8, "size": 16}, "ssr": {"size": 32, "frames": 8}}
    parts = {
        name: dataclasses.replace(part, settings={**part.settings, **sizes.get(name, {})})
        for name, part in tiny.parts.items()
    }
    folder = tmp_path_factory.mktemp("evaluate") / "model"
    write_model(folder, dataclasses.replace(tiny, parts=parts))
    return folder


@pytest.fixture(scope="module")
def evaluated(model, tmp_path_factory):
    """Evaluate everything but FVD; return the output folder and the results."""
    output = tmp_path_factory.mktemp("evaluate") / "output"
    return output, evaluate(asked(model, output, applications=True))


def asked(model, output, **changes):
    """Return the config of a small evaluation."""
    options = {"prompts": 2, "batch": 2, "steps": 2, "scenes": 1, "conditioning": "free"}
    return EvaluationConfig(model=str(model), output=str(output), **(options | changes))


def flat_features(videos):
    """Return the mean brightness of each clip, and its mean change from frame to frame."""
    change = np.abs(np.diff(videos.astype(float), axis=1)).mean((1, 2, 3, 4))
    return np.stack([videos.mean((1, 2, 3, 4)), change], 1)


def test_prompts_are_held_out_and_repeat_only_after_all_others():
    every = heldout_prompts()
    prompts = PROVIDER.prompts(len(every) + 5, seed=0)
    assert sorted(prompts[: len(every)]) == sorted(every)
    assert prompts == PROVIDER.prompts(len(every) + 5, seed=0)
    assert prompts[:20] == PROVIDER.prompts(20, seed=0) != PROVIDER.prompts(20, seed=1)
    assert all(read_caption(prompt).split == "heldout" for prompt in prompts[:20])


def test_a_rendered_clip_fulfils_its_prompt():
    prompts = PROVIDER.prompts(6, seed=1)
    rows = [PROVIDER.score(PROVIDER.clip(p, 80, 32, (0, i)), p) for i, p in enumerate(prompts)]
    assert set(fractions(rows).values()) == {1.0}


def test_an_evaluation_names_every_clip_and_its_protocol(evaluated):
    output, results = evaluated
    stored = json.loads((output / "evaluation.json").read_text())
    assert stored == results
    prompts = stored["prompts"]
    assert [clip["prompt"] for clip in prompts["clips"]] == PROVIDER.prompts(2, seed=0)
    assert [clip["seed"] for clip in prompts["clips"]] == [0, 1]
    agree = [clip["agrees"]["colour"] for clip in prompts["clips"]]
    assert prompts["accuracy"]["colour"] == pytest.approx(np.mean(agree))
    protocol = prompts["protocol"]
    assert {"model": "tiny", "N": 2, "T": 8, "size": 16, "seed": 0}.items() <= protocol.items()
    assert list(protocol["samplers"]) == ["base"]
    assert set(protocol["weights"]) == {"base", "text"}  # the encoder is part of the model
    assert protocol["samplers"]["base"]["steps"] == 2
    assert (output / "clips.png").exists()


def test_applications_keep_the_pixels_that_they_were_given(evaluated):
    # Observed pixels are exact: no PSNR, which would be infinite.
    applications = evaluated[1]["applications"]
    assert applications["image_to_video"]["first_frame"] is None
    assert applications["cinemagraph"]["kept"] is None
    assert applications["inpaint"]["kept"] is None
    assert applications["inpaint"]["hidden"] < 30  # random parameters cannot reconstruct it
    assert applications["protocol"]["conditioning"] == "free"


def test_super_resolution_stands_beside_bicubic(evaluated):
    refinement = evaluated[1]["refinement"]
    assert refinement["protocol"]["size"] == [16, 32]
    (windows,) = refinement["protocol"]["windows"].values()
    assert windows["frames"] > windows["overlap"] > 0
    truth = PROVIDER.clip(PROVIDER.prompts(1, 0)[0], 8, 32, (0, 0))
    error = (bicubic(shrunk(truth, 16), 32).astype(float) - truth) ** 2
    assert refinement["bicubic"] == pytest.approx(10 * np.log10(255**2 / error.mean()))
    assert refinement["refined"] < refinement["bicubic"]


def test_the_table_shows_all_of_it(evaluated):
    lines = table(evaluated[1]).splitlines()
    assert lines[0].startswith("prompts: tiny, base ddim 2 steps guidance 2, seed 0, N 2, T 8")
    for words in ("colour", "image_to_video  first_frame     exact dB", "bicubic"):
        assert any(line.strip().startswith(words) for line in lines)


def test_an_image_model_is_measured_by_single_frames(model, tmp_path):
    whole = read_model(model)
    base = whole.parts["base"]
    image = dataclasses.replace(
        base,
        config=spatial_half(base.config),
        params=spatial_params(base.params),
        settings={**base.settings, "frames": 1},
    )
    parts = {"text": whole.parts["text"], "base": image}
    settings = {**whole.settings, "stages": ["base"]}
    write_model(tmp_path / "image", Model(parts=parts, settings=settings))
    results = evaluate(asked(tmp_path / "image", tmp_path / "out", prompts=6))["prompts"]
    assert results["protocol"]["T"] == 1
    told = [read_caption(clip["prompt"]).motion in STRAIGHT for clip in results["clips"]]
    assert [("motion" in clip["agrees"]) for clip in results["clips"]] == told
    assert results["rendered"]["colour"] == results["rendered"]["background"] == 1
    assert "flicker" not in results
    assert (tmp_path / "out" / "clips.png").exists()
    with pytest.raises(ValueError, match=r"--applications: --model=.* makes single images"):
        evaluate(asked(tmp_path / "image", tmp_path / "other", applications=True))


def test_an_interrupted_evaluation_makes_only_what_is_missing(
    model, evaluated, tmp_path, monkeypatch
):
    output, results = evaluated
    shutil.copytree(output, tmp_path / "out")
    (tmp_path / "out" / "arrays" / "clip-00001.npz").unlink()
    make, made = Lumiere.make, []
    monkeypatch.setattr(
        Lumiere, "make", lambda self, r, **o: made.append(r.seeds) or make(self, r, **o)
    )
    # The batch size may differ: a clip depends on its own seed alone.
    again = evaluate(asked(model, tmp_path / "out", batch=3))
    assert made == [[1]]
    assert again["prompts"] == results["prompts"]


def test_results_of_other_settings_are_never_mixed(model, evaluated):
    output, _ = evaluated
    before = (output / "evaluation.json").read_bytes()
    message = r"holds prompts of other settings \(samplers.base.steps is 2 there and 3 here\)"
    with pytest.raises(ValueError, match=message):
        evaluate(asked(model, output, steps=3))
    assert (output / "evaluation.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no evaluation; give a new folder"):
        evaluate(asked(model, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_sections_added_later_stand_beside_those_that_are_there(tmp_path):
    folder = ResultsFolder(tmp_path / "out")
    for name in ("prompts", "fvd"):
        folder.claim({name: {"N": 2}})
        folder.write({name: {"value": 1}})
    stored = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert stored == {"prompts": {"value": 1}, "fvd": {"value": 1}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "nowhere"}, "--model=nowhere: no such folder"),
        ({"conditioning": "trained", "applications": True}, "pass --conditioning=free"),
        ({"fvd": True}, r"--fvd_frames=16: the model makes 8; use --fvd_frames=8"),
        ({"fvd": True, "fvd_frames": 8}, "I3D needs 9 or more"),
        ({"fvd": True, "prompts": 1}, "--fvd needs two clips"),
        ({"prompts": 0}, "--prompts=0 lies outside"),
        ({"steps": 0}, "steps=0"),
    ],
)
def test_impossible_settings_are_refused_in_one_line_before_any_work(
    model, tmp_path, changes, message
):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        evaluate(dataclasses.replace(asked(model, tmp_path / "out"), **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_fvd_stands_between_other_renderings_and_clips_out_of_order(tmp_path):
    folder, prompts = ResultsFolder(tmp_path / "out"), PROVIDER.prompts(8, seed=0)
    names = [f"clip-{number:05d}" for number in range(8)]
    for number, (name, prompt) in enumerate(zip(names, prompts)):
        folder.keep(name, PROVIDER.clip(prompt, 16, 16, (7, number)))
    calls = []

    def features(videos):
        calls.append(videos.shape)
        return flat_features(videos)

    options = {"seed": 0, "frames": 8, "features": features}
    found = distances(PROVIDER, folder, names, prompts, **options)
    assert list(found) == ["generated", "rendered", "shuffled"]
    assert max(found["generated"], found["rendered"]) < 0.5 * found["shuffled"]
    assert calls == [(8, 8, 16, 16, 3)] * 4
    assert distances(PROVIDER, folder, names, prompts, **options) == found  # features are stored
    assert len(calls) == 4


def test_fvd_takes_frames_from_the_whole_clip_and_shuffles_each_by_itself():
    np.testing.assert_array_equal(chosen_frames(80, 16), np.arange(0, 80, 5))
    videos = np.broadcast_to(
        np.arange(9, dtype=np.uint8)[None, :, None, None, None], (2, 9, 1, 1, 3)
    )
    mixed = shuffled(videos, seed=0)
    assert (np.sort(mixed, 1) == videos).all()
    assert (mixed[0] != mixed[1]).any()
    assert (mixed[0] != videos[0]).any()


def test_the_command_prints_a_table_and_its_errors_are_one_line(model, evaluated, tmp_path):
    output, _ = evaluated
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "lumiere_jax.evaluate"]
    small = ["--prompts=2", "--steps=2", "--batch=2"]

    def run(*flags):
        return subprocess.run(
            [*command, *flags], env=environment, capture_output=True, text=True, timeout=300
        )

    done = run(f"--model={model}", f"--output={output}", *small)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("prompts: tiny, base ddim 2 steps")
    assert done.stdout.splitlines()[-2:] == [f"{output}/evaluation.json", f"{output}/clips.png"]
    assert "refinement" in json.loads((output / "evaluation.json").read_text())
    failed = run("--output=x")
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("error: --model is missing: give a")
    assert "Traceback" not in failed.stderr
