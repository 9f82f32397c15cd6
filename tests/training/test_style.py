"""Style fine-tuning: low-rank factors of an image model whose own parameters are frozen."""

import dataclasses

import chex
import jax
import numpy as np
import pytest
from PIL import Image

from lumiere_jax.checkpoints import read_model
from lumiere_jax.checkpoints.style import add_factors
from lumiere_jax.input_pipeline import DataConfig, make_pipeline
from lumiere_jax.training.loop import train
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.runs import load_run, run_style
from lumiere_jax.training.state import split_params
from tests.tiny import tiny_experiment, untrained


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("a", (200, 30, 30)), ("b", (30, 30, 200))):
        Image.new("RGB", (20, 12), colour).save(folder / f"{name}.png")
    (folder / "caption.txt").write_text("flat\ncolour\n")
    (folder / "b.txt").write_text("blue")
    return folder


def style(pictures, **options):
    image = tiny_experiment("image", steps=2, **options)
    data = dataclasses.replace(image.data, source=f"images:{pictures}")
    return dataclasses.replace(image, stage="style", data=data)


@pytest.fixture(scope="module")
def run(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("run")
    image = untrained(folder / "model", tiny_experiment("image"))
    options = {"low_rank": 2, "trainable": "^low_rank/", "start_from": str(image)}
    train(style(pictures, **options), folder)
    return folder


def test_low_rank_training_moves_the_factors_and_nothing_else(run):
    image, styled = read_model(run / "model").parts, load_run(run / "style").params
    for name, part in (("base", "unet"), ("text", "text")):
        chex.assert_trees_all_equal(image[name].params, styled[part])
    ups = [
        leaf for path, leaf in jax.tree.leaves_with_path(styled["low_rank"]) if "up'" in str(path)
    ]
    assert max(np.abs(up).max() for up in ups) > 0
    assert max(min(up.shape) for up in ups) == 2


def test_fresh_factors_are_no_difference(pictures):
    objective = make_objective(style(pictures, low_rank=2, trainable="^low_rank/"))
    params = objective.init(jax.random.key(0))
    chex.assert_trees_all_equal(objective.unet_params(params), params["unet"])


def test_a_style_is_what_the_run_has_learnt(run):
    params, learnt = load_run(run / "style").params, run_style(run / "style")
    assert learnt.settings["rank"] == 2
    kernel = add_factors(params["unet"], learnt.factors)["conv_in"]["kernel"]
    factors = learnt.factors["conv_in"]["kernel"]
    expected = params["unet"]["conv_in"]["kernel"] + (factors["down"] @ factors["up"]).reshape(
        kernel.shape
    )
    np.testing.assert_array_equal(kernel, expected)


def test_full_training_is_of_the_image_model_without_its_text_encoder(pictures):
    objective = make_objective(style(pictures))
    trained, frozen = split_params(objective.shapes(), "^unet/")
    assert set(trained) == {"unet"}
    assert set(frozen) == {"text"}


def test_pictures_are_read_with_their_own_caption_or_the_common_one(pictures):
    config = DataConfig(
        source=f"images:{pictures}",
        image_frames=True,
        size=8,
        batch_size=2,
        text_length=16,
        shuffle=False,
    )
    with make_pipeline(config) as batches:
        batch = next(batches)
    assert batch["video"].shape == (2, 1, 8, 8, 3)
    np.testing.assert_array_equal(batch["video"][0, 0, 4, 4], (200, 30, 30))
    text = [
        "".join(chr(i - 3) for i in ids[mask][:-1])
        for ids, mask in zip(batch["tokens"], batch["token_mask"])
    ]
    assert text == ["flat colour", "blue"]


def test_what_is_missing_in_a_folder_of_pictures_is_named(pictures, tmp_path):
    def opened(folder, **changes):
        options = {"image_frames": True, "size": 8} | changes
        make_pipeline(DataConfig(source=f"images:{folder}", **options))

    with pytest.raises(FileNotFoundError, match="no such folder"):
        opened(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        opened(tmp_path)
    with pytest.raises(ValueError, match=r"set data\.image_frames=True"):
        opened(pictures, image_frames=False)
    Image.new("RGB", (8, 8)).save(tmp_path / "new.png")
    with pytest.raises(FileNotFoundError, match=r"new\.png has no caption.*new\.txt"):
        opened(tmp_path)
