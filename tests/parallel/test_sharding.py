"""Logical axes and storage rules, on eight fake devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from lumiere_jax.parallel import (
    MeshConfig,
    batch_shardings,
    constrain,
    make_mesh,
    storage_shardings,
)

VIDEO = ("batch", "frames", "height", "width", "channels")


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_constrain_without_a_mesh_is_the_identity():
    x = jnp.zeros((2, 4, 8, 8, 3))
    assert constrain(x, VIDEO) is x


def test_constrain_divides_batch_and_frames():
    mesh = make_mesh(MeshConfig(replica=2, fsdp=2, context=2))
    with jax.set_mesh(mesh):
        y = jax.jit(lambda x: constrain(x, VIDEO))(jnp.zeros((4, 4, 8, 8, 3)))
    assert y.sharding.spec[:2] == (("replica", "fsdp"), "context")
    assert y.sharding.shard_shape(y.shape) == (1, 2, 8, 8, 3)


def test_one_frame_stays_whole_where_context_cannot_divide_it():
    with jax.set_mesh(make_mesh(MeshConfig(replica=4, context=2))):
        y = jax.jit(lambda x: constrain(x, VIDEO))(jnp.zeros((4, 1, 8, 8, 3)))
    assert y.sharding.shard_shape(y.shape) == (1, 1, 8, 8, 3)


def test_constrain_passes_gradients():
    with jax.set_mesh(make_mesh()):
        gradient = jax.jit(jax.grad(lambda x: (constrain(x, ("batch",)) ** 2).sum()))(jnp.ones(8))
    np.testing.assert_array_equal(gradient, 2 * np.ones(8))


def test_constrain_refuses_unknown_and_missing_names():
    with pytest.raises(ValueError, match="unknown axis 'time'"):
        constrain(jnp.zeros((2, 3)), ("batch", "time"))
    with pytest.raises(ValueError, match="1 names"):
        constrain(jnp.zeros((2, 3)), ("batch",))


def test_storage_divides_the_largest_divisible_dimension():
    mesh = make_mesh(MeshConfig(fsdp=4))
    tree = {"kernel": shape(3, 3, 64, 128), "odd": shape(129, 128), "bias": shape(128)}
    shardings = storage_shardings(tree, mesh)
    assert shardings["kernel"].spec == P(None, None, None, "fsdp")
    assert shardings["odd"].spec == P(None, "fsdp")
    assert shardings["bias"].spec == P()


def test_storage_uses_tensor_too_where_it_divides():
    mesh = make_mesh(MeshConfig(fsdp=4, tensor=2))
    tree = {"kernel": shape(256, 128), "narrow": shape(4, 8191)}
    shardings = storage_shardings(tree, mesh)
    assert shardings["kernel"].spec == P(("fsdp", "tensor"), None)
    assert shardings["narrow"].spec == P("fsdp", None)


def test_parameters_left_whole_by_accident_are_refused_by_name():
    tree = {"block": {"kernel": shape(129, 129)}, "bias": shape(8)}
    with pytest.raises(ValueError, match=r"block/kernel.*power of two"):
        storage_shardings(tree, make_mesh(MeshConfig(fsdp=8)))
    assert storage_shardings(tree, make_mesh())["block"]["kernel"].spec == P()


def test_batches_are_divided_by_rows_and_videos_by_frames():
    mesh = make_mesh(MeshConfig(replica=2, fsdp=2, context=2))
    batch = {"video": shape(4, 8, 16, 16, 3), "tokens": shape(4, 12), "record": shape(4)}
    shardings = batch_shardings(batch, mesh)
    assert shardings["video"].shard_shape((4, 8, 16, 16, 3)) == (1, 4, 16, 16, 3)
    assert shardings["tokens"].shard_shape((4, 12)) == (1, 12)


def test_a_batch_that_does_not_divide_names_a_size_that_works():
    with pytest.raises(ValueError, match=r"--config\.data\.batch_size=16"):
        batch_shardings({"video": shape(12, 1, 8, 8, 3)}, make_mesh())
