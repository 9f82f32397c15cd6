"""The cascade turns requests into clips, each from its own seed."""

import numpy as np
import pytest

from lumiere_jax.sampling import Cascade, Request, shrink
from lumiere_jax.video import from_uint8, to_uint8
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def cascade():
    return Cascade.from_model(tiny_model(refined=True))


def make(cascade, **request):
    options = {"prompts": ["a"], "seeds": [0]} | request
    return cascade.sample(Request(**options), progress=False)


def test_every_stage_gives_a_clip_of_its_own_size(cascade):
    made = make(cascade)
    assert {name: clips.shape for name, clips in made.items()} == {
        "base": (1, 4, 8, 8, 3),
        "ssr": (1, 4, 16, 16, 3),
    }
    assert made["ssr"].std() > 10


def test_a_clip_depends_on_its_own_seed_and_prompt_alone(cascade):
    together = make(cascade, prompts=["a", "b"], seeds=[3, 4])
    alone = make(cascade, prompts=["b"], seeds=[4])
    for name in ("base", "ssr"):
        difference = together[name][1].astype(int) - alone[name][0]
        assert np.abs(difference).max() <= 1  # the rounding of batched arithmetic
    other = make(cascade, prompts=["b"], seeds=[5])
    assert np.abs(other["ssr"].astype(int) - alone["ssr"]).mean() > 10


def test_a_clip_can_be_refined_without_its_base(cascade):
    base = make(cascade)["base"]
    made = make(cascade, low_resolution=from_uint8(base))
    assert list(made) == ["ssr"]
    assert made["ssr"].shape == (1, 4, 16, 16, 3)


def test_observed_pixels_are_kept_at_every_stage(cascade):
    rng = np.random.default_rng(0)
    observed = rng.uniform(-1, 1, (1, 4, 16, 16, 3)).astype(np.float32)
    mask = np.zeros((1, 4, 16, 16, 1), np.float32)
    mask[:, 0] = 1
    made = make(cascade, observed=observed, mask=mask)
    np.testing.assert_array_equal(made["ssr"][:, 0], to_uint8(observed)[:, 0])
    small, _ = shrink(observed, mask, 8)
    np.testing.assert_array_equal(made["base"][:, 0], to_uint8(small)[:, 0])


def test_the_mask_shrinks_by_minimum_and_the_video_by_area():
    observed = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4, 1)
    mask = np.ones((1, 1, 4, 4, 1), np.float32)
    mask[0, 0, 0, 0] = 0
    small, small_mask = shrink(observed, mask, 2)
    np.testing.assert_array_equal(small[0, 0, ..., 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(small_mask[0, 0, ..., 0], [[0, 1], [1, 1]])


def test_wrong_requests_name_what_to_change(cascade):
    with pytest.raises(ValueError, match=r"2 prompts and 1 seeds"):
        Request(prompts=["a", "b"], seeds=[0])
    with pytest.raises(ValueError, match=r"--strength=0 is outside"):
        Request(prompts=["a"], seeds=[0], strength=0)
    with pytest.raises(ValueError, match=r"--frames=3.*temporal factor 2.*2 would do"):
        make(cascade, frames=3)
    with pytest.raises(ValueError, match=r"no stage 'upscaler'; its stages are base, ssr"):
        cascade.sample(Request(prompts=["a"], seeds=[0]), samplers={"upscaler": None})
