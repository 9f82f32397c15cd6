"""The trained model that ships in data/demo: small, readable, and able to do what its card says."""

import pathlib

import pytest

from lumiere_jax import Lumiere
from lumiere_jax.moving_shapes.dataset import read_caption
from lumiere_jax.moving_shapes.shapes import measure_scene

FOLDER = pathlib.Path(__file__).parent.parent / "data/demo"
PROMPTS = [
    "a red square moves up on a grey background",
    "a blue ring grows on a dark background",
    "a cyan star moves left on a light background",
    "a yellow triangle moves right on a checkered background",
]


@pytest.fixture(scope="module")
def model():
    return Lumiere.load(FOLDER)


def test_it_stays_small_enough_for_a_repository():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 24e6


def test_it_is_a_whole_cascade_with_a_style(model):
    assert [stage.name for stage in model.cascade.stages] == ["base", "ssr"]
    assert model.cascade.size == 128
    assert model.cascade.base.network.config.observed
    assert (FOLDER / "style/style.json").exists()


def test_clips_show_what_their_prompts_tell(model):
    alone = model.base_alone()
    samplers = alone.samplers(steps=10)
    for clip in alone.text_to_video(PROMPTS, seed=0, samplers=samplers, progress=False):
        agreed = measure_scene(clip.video).agrees(read_caption(clip.prompt))
        assert all(agreed.values()), (clip.prompt, agreed)
