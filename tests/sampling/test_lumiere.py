"""Lumiere loads a folder and writes clips with the settings that made them."""

import json

import numpy as np
import pytest

from lumiere_jax import Lumiere
from lumiere_jax.checkpoints import write_model
from lumiere_jax.parallel import MeshConfig, make_mesh
from lumiere_jax.video import read_metadata, read_video
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def lumiere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, tiny_model())
    return Lumiere.load(folder)


def test_a_prompt_becomes_a_video_a_contact_sheet_and_a_recipe(lumiere, tmp_path):
    clip = lumiere.text_to_video("a red circle", seed=7, progress=False)
    paths = clip.save(tmp_path / "new" / "circle")
    assert [path.name for path in paths] == ["circle.mp4", "circle.png", "circle.json"]
    frames, fps = read_video(tmp_path / "new" / "circle.mp4")
    assert frames.shape == clip.video.shape == (4, 8, 8, 3)
    assert fps == 16
    assert "Generated" in read_metadata(tmp_path / "new" / "circle.mp4")["comment"]
    recipe = json.loads((tmp_path / "new" / "circle.json").read_text())
    assert (recipe["prompt"], recipe["seed"], recipe["model"]) == ("a red circle", 7, "tiny")
    assert recipe["samplers"]["base"]["steps"] == 3
    with pytest.raises(FileExistsError, match=r"circle.mp4 exists"):
        clip.save(tmp_path / "new" / "circle")


def test_a_list_of_prompts_becomes_a_list_of_clips_with_seeds_that_count_on(lumiere):
    clips = lumiere.text_to_video(["a", "b"], seed=4, progress=False)
    assert [(clip.prompt, clip.recipe["seed"]) for clip in clips] == [("a", 4), ("b", 5)]


def test_a_clip_shows_itself_in_a_notebook(lumiere):
    html = lumiere.text_to_video("a", progress=False)._repr_html_()
    assert html.startswith('<img src="data:image/gif;base64,R0lGOD')


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing: no such folder"):
        Lumiere.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"holds neither a model .* nor a training run"):
        Lumiere.load(tmp_path)


def test_what_the_encoder_cannot_read_is_said_once_and_in_the_recipe(lumiere, caplog):
    long = "a red circle that bounces"
    clip, other = lumiere.text_to_video([long, "a"], progress=False, negative="x" * 20)
    again = lumiere.text_to_video(long, progress=False, negative="x" * 20)
    said = [record.getMessage() for record in caplog.records if "not read" in record.getMessage()]
    assert len(said) == 2
    assert long in said[0]
    assert clip.recipe["not_read"] == again.recipe["not_read"] == said
    assert other.recipe["not_read"] == said[1:]
    assert "not_read" not in lumiere.text_to_video("a", progress=False).recipe


def test_on_several_devices_a_clip_is_that_of_one(tmp_path):
    write_model(tmp_path / "model", tiny_model())
    mesh = make_mesh(MeshConfig.parse("fsdp=4,context=2"))
    one, many = (Lumiere.load(tmp_path / "model", mesh=place) for place in (None, mesh))
    kernel = many.cascade.base.params["middle_block_0"]["residual"]["conv_in"]["kernel"]
    assert len(kernel.sharding.device_set) == 8
    made = [model.text_to_video("a fox", seed=5, progress=False).video for model in (one, many)]
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1


@pytest.mark.parametrize("text", ["fsdp", "fsdp=two", "rows=2", "", "fsdp=2;context=2"])
def test_a_mesh_that_is_not_one_says_how_it_is_written(text):
    with pytest.raises(ValueError, match=r"--mesh=.* try --mesh=fsdp=-1"):
        MeshConfig.parse(text)
