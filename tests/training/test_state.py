"""The training state, and its trainable and frozen parameters."""

import chex
import jax
import jax.numpy as jnp
import pytest

from lumiere_jax.training.optimizer import OptimizerConfig, make_optimizer
from lumiere_jax.training.state import create_state, merge_params, split_params

PARAMS = {
    "unet": {
        "block": {"kernel": jnp.ones((2, 3)), "temporal": {"kernel": 2 * jnp.ones((4, 4))}},
        "observation": {"kernel": jnp.zeros((3,))},
    },
    "text": {"table": 3 * jnp.ones((5, 2))},
}


def test_split_and_merge_are_inverse():
    trainable, frozen = split_params(PARAMS, "temporal")
    assert list(trainable["unet"]) == ["block"]
    assert list(trainable["unet"]["block"]) == ["temporal"]
    assert "temporal" not in frozen["unet"]["block"]
    merged = merge_params(frozen, trainable)
    assert jax.tree.structure(merged) == jax.tree.structure(PARAMS)
    chex.assert_trees_all_equal(merged, PARAMS)


def test_a_pattern_may_name_several_parts():
    trainable, _ = split_params(PARAMS, "temporal|observation")
    assert set(trainable["unet"]) == {"block", "observation"}


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"--config\.train\.trainable='tempral' matches none"):
        split_params(PARAMS, "tempral")


def test_frozen_leaves_are_narrow_and_have_no_optimizer_state():
    state = create_state(PARAMS, "temporal", make_optimizer(OptimizerConfig(), 10), jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.frozen)} == {jnp.dtype(jnp.bfloat16)}
    assert {leaf.dtype for leaf in jax.tree.leaves(state.ema)} == {jnp.dtype(jnp.float32)}
    shapes = {leaf.shape for leaf in jax.tree.leaves(state.optimizer)}
    assert shapes == {(), (4, 4)}
