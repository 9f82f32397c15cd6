"""Whole runs of the loop: resuming, stopping, starting a video model from an image model."""

import json
import os
import shutil
import signal

import chex
import jax
import numpy as np
import pytest

from lumiere_jax.only_writer import only_writer
from lumiere_jax.parallel import MeshConfig, make_mesh
from lumiere_jax.training import loop
from lumiere_jax.training.loop import train
from lumiere_jax.training.metric_writer import read_lines
from lumiere_jax.training.runs import load_run
from tests.tiny import tiny_experiment, with_train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train an image run of four steps without interruption."""
    folder = tmp_path_factory.mktemp("run")
    assert train(tiny_experiment("image"), folder) is None
    return folder


def contents(folder, step=4):
    """Return all arrays of a checkpoint, and its JSON."""
    from orbax.checkpoint import v1 as ocp

    path = folder / "image" / "checkpoints" / str(step)
    kept = ocp.checkpointables_metadata(path).custom_metadata
    return jax.device_get(ocp.load_checkpointables(path)), kept


def interrupt_after(monkeypatch, batches):
    """Send SIGTERM while batch number `batches` is read; return a list of the records read."""
    opened = loop.open_batches
    seen = []

    def open_batches(*arguments):
        pipeline = opened(*arguments)
        following = type(pipeline).__next__

        class Interrupting(type(pipeline)):
            def __next__(self):
                batch = following(self)
                seen.append(batch["record"])
                if len(seen) == batches:
                    os.kill(os.getpid(), signal.SIGTERM)
                return batch

        pipeline.__class__ = Interrupting
        return pipeline

    monkeypatch.setattr(loop, "open_batches", open_batches)
    return seen


def test_interrupted_and_resumed_is_the_same_to_the_last_bit(run, tmp_path, monkeypatch):
    seen = interrupt_after(monkeypatch, batches=1)
    assert train(tiny_experiment("image"), tmp_path) == "SIGTERM"
    assert train(tiny_experiment("image"), tmp_path) is None
    (arrays, kept), (expected, expected_kept) = contents(tmp_path), contents(run)
    chex.assert_trees_all_equal(arrays, expected)
    assert kept["data"] == expected_kept["data"]
    assert kept["fingerprints"] == expected_kept["fingerprints"]
    assert len(np.unique(np.concatenate(seen))) == 32  # four batches of eight, none twice


def test_a_finished_run_goes_on_where_steps_are_raised(run, tmp_path):
    shutil.copytree(run / "image", tmp_path / "image")
    assert train(tiny_experiment("image", steps=6), tmp_path) is None
    assert [line["step"] for line in read_lines(tmp_path / "image" / "metrics.jsonl")] == [2, 4, 6]


def test_a_broken_newest_checkpoint_gives_way_to_the_one_before(run, tmp_path, caplog):
    shutil.copytree(run / "image", tmp_path / "image")
    for data in (tmp_path / "image" / "checkpoints" / "4" / "ema").rglob("d/*"):
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with caplog.at_level("WARNING"):
        assert train(tiny_experiment("image"), tmp_path) is None
    assert "checkpoint 4" in caplog.text
    assert (tmp_path / "image" / "damaged" / "4").exists()
    chex.assert_trees_all_equal(contents(tmp_path)[0], contents(run)[0])


def test_metrics_curve_and_settings_are_kept(run):
    lines = read_lines(run / "image" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4]
    assert {"loss", "gradient_norm", "learning_rate", "clips_per_second", "teraflops"} <= set(
        lines[0]
    )
    assert (run / "image" / "loss.png").stat().st_size > 1000
    assert list((run / "image" / "tensorboard").iterdir())
    assert json.loads((run / "image" / "config.json").read_text())["stage"] == "image"


def test_a_folder_of_another_run_is_refused_in_one_line(run):
    other = tiny_experiment("image", ema_decay=0.5)
    with pytest.raises(ValueError, match=r"started with train\.ema_decay=0\.9, not 0\.5") as caught:
        train(other, run)
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"--workdir=.*holds no training run"):
        train(tiny_experiment("image"), tmp_path)


def test_a_video_model_starts_from_the_image_run(run, tmp_path):
    shutil.copytree(run / "image", tmp_path / "image")
    image = load_run(tmp_path / "image")
    assert train(tiny_experiment("base", steps=1, log_every=1), tmp_path) is None
    base = load_run(tmp_path / "base")
    assert base.step == 1
    chex.assert_trees_all_equal(image.params["text"], base.params["text"])
    np.testing.assert_array_equal(
        image.params["unet"]["conv_in"]["kernel"], base.params["unet"]["conv_in"]["kernel"]
    )
    stored = list((tmp_path / "base" / "frozen").iterdir())
    assert len(stored) == 1


def test_an_image_model_goes_on_from_the_spatial_half_of_a_video_model(run, tmp_path):
    shutil.copytree(run / "image", tmp_path / "image")
    assert train(tiny_experiment("base", steps=1, log_every=1), tmp_path) is None
    again = tiny_experiment("image", steps=1, log_every=1, start_from=str(tmp_path / "base"))
    again = with_train(again, trainable="text")
    assert train(again, tmp_path / "again") is None
    image, base = load_run(tmp_path / "again" / "image"), load_run(tmp_path / "base")
    assert "temporal" not in str(image.params["unet"].keys())
    np.testing.assert_array_equal(
        image.params["unet"]["conv_in"]["kernel"], base.params["unet"]["conv_in"]["kernel"]
    )


def test_a_video_model_without_an_image_run_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train it first .*--config\.train\.start_from="):
        train(tiny_experiment("base"), tmp_path)


def test_weights_of_another_architecture_are_refused(run, tmp_path):
    import dataclasses

    base = tiny_experiment("base", start_from=str(run / "image"))
    wider = dataclasses.replace(base, model=dataclasses.replace(base.model, channels=(8, 32)))
    with pytest.raises(ValueError, match="holds another architecture") as caught:
        train(wider, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_evaluation_measures_the_same_thing_every_time(run, tmp_path):
    shutil.copytree(run / "image", tmp_path / "image")
    experiment = with_train(
        tiny_experiment("image"),
        steps=5,
        evaluate_every=1,
        evaluation_batches=1,
        sample_prompts=("a red circle", "a blue square"),
    )
    assert train(experiment, tmp_path) is None
    lines = read_lines(tmp_path / "image" / "metrics.jsonl")
    assert [line["step"] for line in lines if "evaluation_loss" in line] == [5]


@pytest.mark.slow
def test_a_run_goes_on_with_fewer_devices(run, tmp_path):
    """Save with eight devices, resume with two (with `fsdp`) at the same place in the data."""
    shutil.copytree(run / "image", tmp_path / "image")
    two = jax.devices()[:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "make_mesh", lambda config: make_mesh(MeshConfig(fsdp=2), two))
        assert train(tiny_experiment("image", steps=6), tmp_path) is None
    assert load_run(tmp_path / "image").step == 6


def test_a_second_run_of_a_stage_is_told_of_the_first_and_changes_nothing(tmp_path):
    experiment = tiny_experiment("image")
    with (
        only_writer(tmp_path / "image", "--workdir"),
        pytest.raises(BlockingIOError, match=rf"another run is writing into --workdir={tmp_path}"),
    ):
        train(experiment, tmp_path)
    assert [path.name for path in (tmp_path / "image").iterdir()] == ["lock"]
