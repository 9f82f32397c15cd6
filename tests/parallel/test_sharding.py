"""Storage rules and divisions, on eight fake devices."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from lumiere_jax.parallel import (
    Division,
    MeshConfig,
    batch_shardings,
    divisions_of,
    layout_of,
    make_mesh,
    storage_shardings,
)


def shape(*sizes, sharding=None):
    return jax.ShapeDtypeStruct(sizes, jnp.float32, sharding=sharding)


def test_storage_divides_the_largest_divisible_dimension():
    mesh = make_mesh(MeshConfig(fsdp=4))
    tree = {"kernel": shape(3, 3, 64, 128), "odd": shape(129, 128), "bias": shape(128)}
    shardings = storage_shardings(tree, mesh)
    assert shardings["kernel"].spec == P(None, None, None, "fsdp")
    assert shardings["odd"].spec == P(None, "fsdp")
    assert shardings["bias"].spec == P()


def test_storage_is_divided_over_fsdp_and_context_or_what_of_them_divides():
    mesh = make_mesh(MeshConfig(fsdp=4, context=2))
    tree = {"kernel": shape(256, 128), "narrow": shape(4, 8191), "even": shape(2, 8193)}
    shardings = storage_shardings(tree, mesh)
    assert shardings["kernel"].spec == P(("fsdp", "context"), None)
    assert shardings["narrow"].spec == P("fsdp", None)
    assert shardings["even"].spec == P("context", None)


def test_parameters_left_whole_by_accident_are_refused_by_name():
    tree = {"block": {"kernel": shape(129, 129)}, "bias": shape(8)}
    with pytest.raises(ValueError, match=r"mesh\.fsdp=8 .*block/kernel.*power of two"):
        storage_shardings(tree, make_mesh(MeshConfig(fsdp=8)))
    assert storage_shardings(tree, make_mesh())["block"]["kernel"].spec == P()


def test_a_division_is_read_from_a_sharding_and_gives_its_spec():
    mesh = make_mesh(MeshConfig(fsdp=4, context=2))
    tree = {"kernel": shape(256, 128), "narrow": shape(4, 8191), "bias": shape(8)}
    shardings = storage_shardings(tree, mesh)
    placed = jax.tree.map(lambda leaf, s: shape(*leaf.shape, sharding=s), tree, shardings)
    divisions = divisions_of(placed)
    assert divisions == {
        "kernel": Division(0, ("fsdp", "context"), 8),
        "narrow": Division(0, ("fsdp",), 4),
        "bias": Division(),
    }
    layout = layout_of(divisions, rows="context")
    assert [path for path, _ in layout.divisions] == ["kernel", "narrow"]
    assert layout.specs(tree) == jax.tree.map(lambda s: s.spec, shardings)
    assert hash(layout) == hash(layout_of(divisions, rows="context"))


def test_batches_are_divided_by_rows_alone():
    mesh = make_mesh(MeshConfig(replica=2, fsdp=2, context=2))
    batch = {"video": shape(4, 8, 16, 16, 3), "tokens": shape(4, 12), "record": shape(4)}
    shardings = batch_shardings(batch, mesh)
    assert shardings["video"].shard_shape((4, 8, 16, 16, 3)) == (1, 8, 16, 16, 3)
    assert shardings["tokens"].shard_shape((4, 12)) == (1, 12)


def test_a_batch_that_does_not_divide_names_a_size_that_works():
    with pytest.raises(ValueError, match=r"--config\.data\.batch_size=16"):
        batch_shardings({"video": shape(12, 1, 8, 8, 3)}, make_mesh())
