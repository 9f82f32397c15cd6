"""Conditional training: the observed video, and updates of new and temporal parameters only."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.checkpoints import read_model
from lumiere_jax.checkpoints.tree import flatten
from lumiere_jax.input_pipeline import DataConfig, MaskMixture, make_pipeline
from lumiere_jax.training.loop import train
from lumiere_jax.training.metric_writer import read_lines
from lumiere_jax.training.objective import observe
from lumiere_jax.training.runs import load_run
from tests.tiny import tiny_experiment, untrained, with_train


def conditional(**changes):
    base = tiny_experiment("base", trainable="temporal|observation", steps=1, log_every=1)
    return dataclasses.replace(
        base,
        stage="conditional",
        model=dataclasses.replace(base.model, observed=True),
        data=dataclasses.replace(base.data, masks=MaskMixture()),
        **changes,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Write a model folder with an untrained base."""
    return untrained(tmp_path_factory.mktemp("model"), tiny_experiment("base"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, base):
    """Train the conditional stage for one step."""
    folder = tmp_path_factory.mktemp("run")
    train(with_train(conditional(), start_from=str(base)), folder)
    return folder


def test_the_conditional_stage_starts_from_the_base_and_leaves_its_image_half(run, base):
    before = flatten(read_model(base).parts["base"].params)
    after = flatten(load_run(run / "conditional").params["unet"])
    assert np.abs(after["observation/kernel"]).max() > 0
    assert set(after) - set(before) == {"observation/kernel", "observation/bias"}
    moved = {path for path in before if np.any(before[path] != after[path])}
    assert moved
    assert all("temporal" in path.split("/") for path in moved)


def test_a_video_outside_of_the_mask_does_not_reach_the_model():
    clean = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 4, 8, 8, 3)))
    mask = np.zeros((2, 4, 8, 8, 1), bool)
    mask[:, 0] = True
    target, observed, given = observe(clean, {"mask": mask, "still": np.array([False, False])})
    np.testing.assert_array_equal(target, clean)
    np.testing.assert_array_equal(observed[:, 0], clean[:, 0])
    assert not np.any(observed[:, 1:])
    assert given.dtype == clean.dtype


def test_the_clip_to_learn_of_a_cinemagraph_is_still_where_the_mask_says_so():
    clean = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 4, 8, 8, 3)))
    mask = np.ones((1, 4, 8, 8, 1), bool)
    mask[:, 1:, :4] = False
    target, observed, _ = observe(clean, {"mask": mask, "still": np.array([True])})
    for frame in range(4):
        np.testing.assert_array_equal(target[:, frame, 4:], clean[:, 0, 4:])
        np.testing.assert_array_equal(observed[:, frame, 4:], clean[:, 0, 4:])
    np.testing.assert_array_equal(target[:, 1:, :4], clean[:, 1:, :4])


def test_without_masks_nothing_is_observed():
    clean = jnp.ones((1, 2, 4, 4, 3))
    assert observe(clean, {"video": None}) == (clean, None, None)


def test_batches_carry_the_same_masks_whoever_reads_them():
    config = DataConfig(frames=4, size=8, batch_size=4, text_length=8, masks=MaskMixture())
    with make_pipeline(config) as whole, make_pipeline(config, process_count=2) as half:
        batch, part = next(whole), next(half)
    assert batch["mask"].shape == (4, 4, 8, 8, 1)
    np.testing.assert_array_equal(batch["mask"][:2], part["mask"])
    np.testing.assert_array_equal(batch["still"][:2], part["still"])


def test_a_model_and_masks_that_do_not_belong_together_are_refused():
    base = tiny_experiment("base")
    with pytest.raises(ValueError, match=r"observed=True needs masks.*conditional"):
        dataclasses.replace(base, model=dataclasses.replace(base.model, observed=True))
    with pytest.raises(ValueError, match=r"set --config\.model\.observed=True"):
        dataclasses.replace(base, data=dataclasses.replace(base.data, masks=MaskMixture()))


def test_the_conditional_stage_asks_for_the_base(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"starts from stage 'base'.*--config=…:base"):
        train(conditional(), tmp_path)


@pytest.mark.slow
def test_evaluation_shows_what_a_conditional_model_makes_of_text_alone(base, tmp_path):
    shown = {"evaluate_every": 1, "evaluation_batches": 1, "sample_prompts": ("a",)}
    train(with_train(conditional(), start_from=str(base), **shown), tmp_path)
    lines = read_lines(tmp_path / "conditional" / "metrics.jsonl")
    assert any("evaluation_loss" in line for line in lines)
