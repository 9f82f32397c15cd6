"""The words that a model responds to, measured by exchanging them."""

import pathlib

import numpy as np
import pytest

from benchmarks.word_gain import OPPOSITE, TIMES, exchange, gains
from lumiere_jax import Lumiere
from lumiere_jax.moving_shapes.scenes import Attributes, combinations

FOLDER = pathlib.Path(__file__).parents[2] / "data/demo"


def test_exchanging_a_word_leaves_the_others():
    rng = np.random.default_rng(0)
    scene = Attributes(colour="red", shape="star", motion="up", background="dark")
    for kind in ("colour", "shape", "motion", "background"):
        other = vars(exchange(scene, kind, rng))
        assert {name for name, word in vars(scene).items() if other[name] != word} == {kind}


def test_only_straight_motions_have_an_opposite():
    rng = np.random.default_rng(0)
    for scene in combinations("heldout"):
        other = exchange(scene, "direction", rng)
        assert (other is None) == (scene.motion not in OPPOSITE)
        assert other is None or exchange(other, "direction", rng) == scene


@pytest.mark.slow
def test_the_shipped_model_responds_to_colours_and_backgrounds_at_high_noise_levels():
    table = gains(Lumiere.load(FOLDER), count=8)
    assert table["colour"][TIMES.index(0.8)] > 50
    assert table["background"][TIMES.index(0.9)] > 100
