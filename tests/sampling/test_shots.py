"""Several shots in one clip: each stage with text gets the text of the shot it samples."""

import numpy as np

from lumiere_jax.diffusion import SamplerConfig, plan_windows
from lumiere_jax.sampling import Cascade, Request
from lumiere_jax.sampling.text import shots_of_windows
from tests.tiny import tiny_model

FRAMES = 8


def refine(model, **request):
    low = np.random.default_rng(0).uniform(-1, 1, (1, FRAMES, 8, 8, 3)).astype(np.float32)
    options = {"prompts": ["a"], "seeds": [0], "low_resolution": low}
    # A large guidance scale, because random parameters hardly respond to text.
    samplers = {"ssr": SamplerConfig(steps=2, guidance_scale=200.0)}
    made = model.sample(Request(**(options | request)), samplers=samplers, progress=False)
    return made["ssr"].astype(int)


def test_each_frame_of_super_resolution_reads_its_own_shot():
    model = Cascade.from_model(tiny_model(refined=True)).with_config(
        {"base": {"window": 4, "overlap": 2}, "ssr": {"window": 2, "overlap": 0}}
    )
    first, second = (refine(model, shots=[[text] * 2]) for text in ("a", "zzzzzzz"))
    both = refine(model, shots=[["a", "zzzzzzz"]])
    half = FRAMES // 2
    assert np.abs(first - second).mean((0, 2, 3, 4)).min() > 3
    np.testing.assert_allclose(both[:, :half], first[:, :half], atol=1)
    np.testing.assert_allclose(both[:, half:], second[:, half:], atol=1)


def test_a_shot_of_one_text_is_a_prompt():
    model = Cascade.from_model(tiny_model(refined=True)).with_config({"ssr": {"weights": "ramp"}})
    shot, prompt = refine(model, shots=[["b"]]), refine(model, prompts=["b"])
    np.testing.assert_allclose(shot, prompt, atol=1)


def test_a_window_reads_the_shot_of_the_first_stages_window_that_is_nearest():
    first = plan_windows(16, 8, 4)  # the middles are 4, 8 and 12
    windows = plan_windows(16, 4, 2)  # 2, 4, … 14
    texts = shots_of_windows(["a", "b"], windows, first)
    assert texts == ["a", "a", "a", "a", "a", "b", "b"]
    assert shots_of_windows(["a", "b", "c"], first, first) == ["a", "b", "c"]
