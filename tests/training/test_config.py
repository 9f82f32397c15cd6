"""An experiment is validated when it is created, and each of its settings is a flag."""

import dataclasses
import os
import re

import numpy as np
import pytest

from lumiere_jax.training.command_line import (
    explain_flags,
    load_config,
    to_config_dict,
    to_experiment,
    with_home,
)
from lumiere_jax.training.config import check_same_run, read_experiment, write_experiment
from lumiere_jax.training.data import null_text
from tests.tiny import tiny_experiment, with_train


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
    assert line == "--config.train.stepz is not a setting; did you mean --config.train.steps?"
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


OUT_OF_RANGE = [
    ("train.save_every", -1),
    ("train.log_every", 0),
    ("train.keep", 0),
    ("train.ema_decay", 1.5),
    ("train.ema_decay", float("nan")),
    ("train.text_dropout", -0.1),
    ("train.stall_seconds", 0.0),
    ("train.steps", 10**12),
    ("train.low_rank", -1),
    ("train.trainable", "("),
    ("train.trainable", "(" * 5000),
    ("optimizer.learning_rate", float("nan")),
    ("optimizer.learning_rate", -1.0),
    ("optimizer.beta2", 1.0),
    ("optimizer.clip_norm", float("inf")),
    ("mesh.fsdp", 10**9),
    ("data.size", 10**9),
    ("data.workers", -1),
    ("data.seed", 2**32),
    ("data.text_length", 10**9),
    ("model.blocks", (10**9, 1)),
    ("model.channels", (0, 8)),
    ("model.head_dim", 10**6),
    ("model.epsilon", float("nan")),
    ("frame_rate", float("nan")),
    ("seed", -1),
    ("stage", "../elsewhere"),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE, ids=lambda value: str(value)[:20])
def test_a_setting_out_of_its_range_is_refused_by_flag(name, value):
    config = to_config_dict(tiny_experiment("image"))
    part, _, field = name.rpartition(".")
    setattr(config[part] if part else config, field, value)
    with pytest.raises(ValueError, match=rf"^--config\.{re.escape(name)}") as caught:
        to_experiment(config)
    assert "\n" not in str(caught.value)


def test_the_home_folder_is_known_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = to_config_dict(tiny_experiment("image"))
    config.data.source, config.data.tokenizer = "images:~/style", "~/spiece.model"
    config.train.start_from = "~/runs/demo/image"
    experiment = to_experiment(config)
    assert experiment.data.source == "images:/home/me/style"
    assert experiment.data.tokenizer == "/home/me/spiece.model"
    assert experiment.train.start_from == "/home/me/runs/demo/image"
    argv = ["train", "--config=~/mine.py:base", "--config.train.steps=1"]
    assert with_home(argv)[1:] == ["--config=/home/me/mine.py:base", "--config.train.steps=1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_to_be_found", "line 1: ModuleNotFoundError: No module named"),
        ("def get_config(", "line 1: SyntaxError"),
        ("X = 1", "has no function get_config"),
        ("def get_config():\n    return {}['a']", "line 2: KeyError: 'a'"),
        ("def get_config():\n    return int('a')", "invalid literal for int"),
        ("def get_config():\n    raise ValueError('no stage 3')", "no stage 3"),
    ],
)
def test_a_fault_in_a_configuration_names_its_file_and_line(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    line = explain_flags(["train", f"--config={path}"], AttributeError("whatever"))
    assert message in line
    assert "\n" not in line


def test_a_run_keeps_its_settings_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    experiment = tiny_experiment("image")
    write_experiment(path, experiment)
    before = path.read_bytes()
    (tmp_path / "mine").write_bytes(before)
    path.unlink()
    path.symlink_to("mine")  # its target stays as it is
    write_experiment(path, with_train(experiment, steps=99))
    assert (tmp_path / "mine").read_bytes() == before
    assert read_experiment(path).train.steps == 99

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="no space"):
        write_experiment(path, experiment)
    assert read_experiment(path).train.steps == 99


@pytest.mark.parametrize("text", ["", "[]", "<html>", '{"name": 3}', '{"stage": "x"}', "[" * 9999])
def test_what_is_no_run_is_one_line_that_names_the_file(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json") as caught:
        read_experiment(tmp_path / "config.json")
    assert "\n" not in str(caught.value)


def test_a_tokenizer_is_kept_by_its_full_path(tmp_path):
    experiment = tiny_experiment("image")
    data = dataclasses.replace(experiment.data, tokenizer="words/spiece.model")
    relative = dataclasses.replace(experiment, data=data)
    write_experiment(tmp_path / "config.json", relative)
    kept = read_experiment(tmp_path / "config.json")
    assert kept.data.tokenizer == os.path.abspath("words/spiece.model")
    check_same_run(kept, relative, tmp_path)
