"""An experiment is checked when it is made, and every setting of it is a flag."""

import dataclasses

import numpy as np
import pytest

from lumiere_jax.training.command_line import (
    explain_flags,
    load_config,
    to_config_dict,
    to_experiment,
)
from lumiere_jax.training.config import check_same_run, read_experiment, write_experiment
from lumiere_jax.training.null_text import null_text
from tests.training.tiny import tiny_experiment, with_train


def test_an_experiment_survives_flags_and_files(tmp_path):
    for stage in ("image", "base"):
        experiment = tiny_experiment(stage)
        assert to_experiment(to_config_dict(experiment)) == experiment
        write_experiment(tmp_path / "config.json", experiment)
        assert read_experiment(tmp_path / "config.json") == experiment


@pytest.mark.parametrize("stage", ["image", "base"])
def test_the_demo_is_an_experiment(stage):
    experiment = to_experiment(load_config(f"configs/demo.py:{stage}"))
    assert experiment.stage == stage
    assert (experiment.model.temporal is not None) == (stage == "base")


def test_settings_that_are_none_can_be_flags():
    config = to_config_dict(tiny_experiment("image"))
    config.train.dtype = "float32"
    config.train.start_from = "runs/other"
    config.model.time_embedding_dim = 16
    experiment = to_experiment(config)
    assert experiment.train.dtype == "float32"
    assert experiment.model.time_embedding_dim == 16
    with pytest.raises(TypeError):
        config.model.time_embedding_dim = "wide"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(data=dict(frames=5)), r"--config\.data\.frames=5 .* factor of 2; .*frames=6"),
        (dict(data=dict(size=9)), r"--config\.data\.size=9 .* set --config\.data\.size=10"),
        (dict(data=dict(image_frames=True)), r"set --config\.data\.image_frames=False"),
        (dict(train=dict(accumulate=3)), r"--config\.train\.accumulate=3 does not divide"),
        (dict(text=dict(width=48)), r"--config\.text\.width=48.*text_dim=32"),
    ],
)
def test_what_does_not_fit_names_the_flag_and_a_value_that_does(setting, message):
    experiment = tiny_experiment("base")
    with pytest.raises(ValueError, match=message) as caught:
        dataclasses.replace(
            experiment,
            **{
                name: dataclasses.replace(getattr(experiment, name), **values)
                for name, values in setting.items()
            },
        )
    assert "\n" not in str(caught.value)


def test_a_run_may_be_prolonged_but_not_changed():
    old = tiny_experiment("image")
    check_same_run(old, with_train(old, steps=99, log_every=7, keep=1), "runs/x")
    with pytest.raises(ValueError, match=r"pass --config\.train\.text_dropout=0\.1, or another"):
        check_same_run(old, with_train(old, text_dropout=0.5), "runs/x")


def test_an_unknown_flag_is_answered_with_the_nearest():
    argv = ["train", "--config=configs/demo.py:base", "--config.train.stepz=3"]
    line = explain_flags(argv, KeyError("stepz"))
    assert line == "--config.train.stepz is no setting; did you mean --config.train.steps?"
    assert "no such file" in explain_flags(["train", "--config=nowhere.py"], OSError(""))


def test_dropping_stored_captions_needs_the_stored_null_text(tmp_path):
    experiment = tiny_experiment("image")
    data = dataclasses.replace(experiment.data, source=f"records:{tmp_path}", text="embeddings")
    experiment = dataclasses.replace(experiment, data=data, text=None)
    with pytest.raises(FileNotFoundError, match=r"null_text\.npy: no such file; .*text_dropout=0"):
        null_text(experiment)
    np.save(tmp_path / "null_text.npy", np.ones((2, 32), np.float16))
    null = null_text(experiment)
    assert null.embedding.shape == (1, data.text_length, 32)
    assert null.mask.sum() == 2
