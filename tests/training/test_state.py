"""Splitting parameters, and a fingerprint that sees every bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.parallel import MeshConfig, make_mesh, storage_shardings
from lumiere_jax.training.optimizer import OptimizerConfig, make_optimizer
from lumiere_jax.training.state import (
    _checksum,
    create_state,
    fingerprint,
    merge_params,
    split_params,
)

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
    jax.tree.map(np.testing.assert_array_equal, merged, PARAMS)


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


def test_the_fingerprint_sees_a_flipped_bit_anywhere():
    values = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    intact = fingerprint({"x": jnp.asarray(values)})
    for place in range(values.size):
        flipped = values.copy().view(np.uint32)
        flipped.flat[place] ^= 1 << (place % 32)
        assert fingerprint({"x": jnp.asarray(flipped.view(np.float32))}) != intact


def test_the_fingerprint_sees_swapped_rows_and_other_names():
    x = jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)
    assert fingerprint({"x": x}) != fingerprint({"x": x[::-1]})
    assert fingerprint({"x": x}) != fingerprint({"y": x})


def test_the_fingerprint_does_not_depend_on_sharding():
    tree = {"x": jnp.asarray(np.random.default_rng(1).normal(size=(256, 128)), jnp.float32)}
    placed = jax.device_put(tree, storage_shardings(tree, make_mesh(MeshConfig(fsdp=8))))
    assert not placed["x"].is_fully_replicated
    assert fingerprint(placed) == fingerprint(tree)


def test_host_and_devices_give_the_same_fingerprint():
    for dtype in (jnp.float32, jnp.bfloat16, jnp.int32):
        x = jnp.asarray(1000 * np.random.default_rng(2).normal(size=(33, 7)), dtype)
        assert jax.jit(lambda x: _checksum(x, jnp))(x) == _checksum(np.asarray(x), np)
