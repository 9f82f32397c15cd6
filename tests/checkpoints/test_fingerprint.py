"""Digests in stored files: they depend on every bit, and never change."""

import jax
import jax.numpy as jnp
import numpy as np

from lumiere_jax.checkpoints.fingerprint import _checksum, model_fingerprint, tree_fingerprint
from lumiere_jax.models import T5Config
from lumiere_jax.parallel import MeshConfig, make_mesh, storage_shardings


def test_digests_in_stored_files_stay_valid():
    tree = {
        "a": {"kernel": jnp.arange(6, dtype=jnp.float32).reshape(2, 3) / 4},
        "b": jnp.arange(5, dtype=jnp.bfloat16),
    }
    digest = "1253e8e43b7bcb4adaf89172a7cf0c6c7e771c41a289745fa0065284552961cc"
    assert model_fingerprint(T5Config.preset("demo"), tree) == digest
    assert tree_fingerprint(tree) == "aa460eee758349d7"


def test_the_fingerprint_of_a_tree_depends_on_every_bit():
    values = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    intact = tree_fingerprint({"x": jnp.asarray(values)})
    for place in range(values.size):
        flipped = values.copy().view(np.uint32)
        flipped.flat[place] ^= 1 << (place % 32)
        assert tree_fingerprint({"x": jnp.asarray(flipped.view(np.float32))}) != intact


def test_the_fingerprint_of_a_tree_depends_on_the_order_of_rows_and_on_names():
    x = jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)
    assert tree_fingerprint({"x": x}) != tree_fingerprint({"x": x[::-1]})
    assert tree_fingerprint({"x": x}) != tree_fingerprint({"y": x})


def test_the_fingerprint_of_a_tree_does_not_depend_on_sharding():
    tree = {"x": jnp.asarray(np.random.default_rng(1).normal(size=(256, 128)), jnp.float32)}
    placed = jax.device_put(tree, storage_shardings(tree, make_mesh(MeshConfig(fsdp=8))))
    assert not placed["x"].is_fully_replicated
    assert tree_fingerprint(placed) == tree_fingerprint(tree)


def test_host_and_devices_give_the_same_fingerprint():
    for dtype in (jnp.float32, jnp.bfloat16, jnp.int32):
        x = jnp.asarray(1000 * np.random.default_rng(2).normal(size=(33, 7)), dtype)
        assert jax.jit(lambda x: _checksum(x, jnp))(x) == _checksum(np.asarray(x), np)
