"""The requests of the applications are what the conditional stage was trained on."""

import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.applications import cinemagraph, continuation, image_to_video, inpaint
from lumiere_jax.input_pipeline.masks import KINDS
from lumiere_jax.training.objective import observe

SEED = 2  # gives a continuation of the first frames, not of the last
CLIP = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)


def trained_on(kind):
    """Return (C, M) of the clip in training, [1, t, h, w, c] each."""
    mask, still = KINDS[kind](np.random.default_rng(SEED), CLIP.shape[:3])
    batch = {"mask": jnp.asarray(mask[None]), "still": jnp.asarray([still])}
    _, observed, mask = observe(jnp.asarray(CLIP[None]), batch)
    return np.asarray(observed), np.asarray(mask)


def asked_for(kind, mask):
    """Return the application's request for the same clip and mask."""
    one = {"prompts": ["a"], "seeds": [0]}
    if kind == "image_to_video":
        return image_to_video(**one, image=CLIP[0], frames=4)
    if kind == "cinemagraph":
        return cinemagraph(**one, image=CLIP[0], region=mask[0, 1, ..., 0] == 0, frames=4)
    if kind == "continuation":
        keep = int(mask[0, :, 0, 0, 0].sum())
        return continuation(**one, beginning=CLIP[:keep], frames=4)
    return inpaint(**one, video=CLIP, region=mask[0, ..., 0] == 0)


@pytest.mark.parametrize(
    "kind", ["image_to_video", "cinemagraph", "continuation", "inpaint", "outpaint"]
)
def test_sampling_shows_the_model_exactly_what_training_did(kind):
    observed, mask = trained_on(kind)
    request = asked_for(kind, mask)
    np.testing.assert_array_equal(request.mask, mask)
    np.testing.assert_array_equal(request.observed, observed)
