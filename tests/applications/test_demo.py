"""`make demo`, on a tiny model with random parameters."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from launch.applications import applications, find_style
from lumiere_jax import Lumiere
from lumiere_jax.models import network
from tests.tiny import tiny_model

NAMES = ["text_to_video", "image_to_video", "inpaint", "outpaint", "cinemagraph", "edit"]


def test_every_application_makes_a_clip_of_the_base_s_size_that_keeps_what_it_was_given():
    model = Lumiere(tiny_model(observed=True))
    shown = {each.name: each for each in applications(model, None, progress=False)}
    assert list(shown) == NAMES
    for each in shown.values():
        assert each.made.video.shape == (4, 8, 8, 3)
        assert each.made.recipe["application"] == each.name
    begun, filled, grown = (shown[name] for name in ("image_to_video", "inpaint", "outpaint"))
    np.testing.assert_array_equal(begun.made.video[0], begun.given[0])
    np.testing.assert_array_equal(filled.made.video[:, :, :4], filled.given[:, :, :4])
    np.testing.assert_array_equal(grown.made.video[:, 1:-1, 1:-1], grown.given)


def test_the_base_alone_makes_small_clips_and_leaves_the_model_whole():
    model = Lumiere(tiny_model(refined=True))
    alone = model.base_alone()
    assert [stage.name for stage in alone.cascade.stages] == ["base"]
    assert alone.cascade.size == 8
    assert [stage.name for stage in model.cascade.stages] == ["base", "ssr"]


def test_guidance_is_of_the_stages_that_read_text():
    model = Lumiere(tiny_model(refined=True))
    every = model.samplers(guidance_scale=5.0)
    assert {name: sampler.guidance_scale for name, sampler in every.items()} == {
        "base": 5.0,
        "ssr": 5.0,
    }
    refiner = model.cascade.stages[1].network
    without = dataclasses.replace(refiner.config, text_dim=None, cross_dim=None)
    model.cascade.stages[1].network = network(without)
    assert model.samplers(guidance_scale=5.0)["ssr"].guidance_scale == 2.0  # its own


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "nowhere"}, "error: --model=nowhere: no such folder"),
        ({"style": "nowhere"}, "error: --style=nowhere: neither a style nor a run"),
        ({"output": "docs"}, "error: --output=docs is not empty; give a new folder"),
    ],
)
def test_what_the_demo_cannot_do_is_one_line_and_nothing_is_written(changes, message, tmp_path):
    values = {"model": "data/demo", "output": str(tmp_path / "made")} | changes
    command = [sys.executable, "-m", "launch.applications"]
    command += [f"--{name}={value}" for name, value in values.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()


def test_a_style_that_is_asked_for_is_never_left_out(tmp_path):
    assert find_style("data/demo", None).settings["rank"] == 4
    assert find_style(tmp_path, None) is None
    with pytest.raises(FileNotFoundError, match="--style=nowhere"):
        find_style("data/demo", "nowhere")
