"""Collectives and rows of a batch on eight fake devices, against the same on one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from lumiere_jax.parallel import MeshConfig, all_rows, device_rows, make_mesh, map_rows
from lumiere_jax.parallel.collectives import (
    gather_stored,
    mean_over_batch,
    own_rows,
    sum_gradients,
    sum_squares,
    whole_rows,
    with_neighbours,
)
from lumiere_jax.parallel.sharding import Division

MESH = make_mesh(MeshConfig(replica=2, fsdp=2, context=2))
BOTH = Division(1, ("fsdp", "context"), 4)
FSDP = Division(0, ("fsdp",), 2)
WHOLE = Division()
PLACES = {"wide": BOTH, "tall": FSDP, "bias": WHOLE}
SPECS = {"wide": P(None, ("fsdp", "context")), "tall": P("fsdp"), "bias": P()}
ROWS = P(("replica", "fsdp"))
seeds = st.integers(0, 2**31 - 1)


def over_devices(function, in_specs, out_specs, mesh=MESH):
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
    )


def params(seed):
    rng = np.random.default_rng(seed)
    shapes = {"wide": (6, 8), "tall": (8, 3), "bias": (3,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def loss(tree, x):
    """Return a mean over rows that depends on every parameter."""
    hidden = jnp.sin(x @ tree["wide"]) @ tree["tall"] + tree["bias"]
    return jnp.mean(hidden**2)


def local_gradients(tree, x):
    """Return the gradient of this device's rows, from parts."""

    def local(tree):
        return loss({name: gather_stored(leaf, PLACES[name]) for name, leaf in tree.items()}, x)

    return jax.grad(local)(tree)


@functools.cache
def gradients_over_devices():
    """Return the function of parameters and rows that is the gradient, and its norm."""

    def gradients(tree, x):
        # Both devices along `context` compute the loss of the same rows here: half of each.
        total = sum_gradients(local_gradients(tree, x), PLACES)
        total = jax.tree.map(lambda leaf: leaf / 8, total)
        return total, sum_squares(total, PLACES)

    return over_devices(gradients, (SPECS, ROWS), (SPECS, P()))


@given(seeds)
def test_gathered_gradients_are_those_of_one_device(seed):
    tree, x = params(seed), np.random.default_rng(seed).normal(size=(8, 6)).astype(np.float32)
    found, squares = gradients_over_devices()(tree, x)
    expected = jax.grad(loss)(tree, x)
    for name, leaf in expected.items():
        np.testing.assert_allclose(found[name], leaf, rtol=1e-5, atol=1e-6)
    total = sum(float((leaf**2).sum()) for leaf in expected.values())
    np.testing.assert_allclose(squares, total, rtol=1e-5)


def test_a_gather_moves_the_compute_dtype_and_sums_gradients_in_float32():
    def gradient(x):
        gather = lambda x: gather_stored(x, BOTH, jnp.bfloat16)  # noqa: E731
        return jax.vjp(gather, x)[1](jnp.full((6, 8), 1 + 2**-7, jnp.bfloat16))[0]

    traced = over_devices(gradient, SPECS["wide"], SPECS["wide"]).trace(jnp.zeros((6, 8)))
    text = str(traced.jaxpr)
    assert "bf16[6,8] = all_gather" in text
    assert "f32[6,2] = reduce_scatter" in text
    summed = traced.lower().compile()(jnp.zeros((6, 8)))
    np.testing.assert_array_equal(summed, np.full((6, 8), 4 * (1 + 2**-7), np.float32))


def test_whole_arrays_of_all_layers_are_summed_at_once():
    tree = {"bias": jnp.ones(3), "scale": jnp.ones(5), "wide": jnp.ones((6, 8))}
    places = {"bias": WHOLE, "scale": WHOLE, "wide": BOTH}
    specs = {"bias": P(), "scale": P(), "wide": SPECS["wide"]}
    run = over_devices(lambda tree: sum_gradients(tree, places), (specs,), specs)
    assert str(run.trace(tree).jaxpr).count(" psum") == 2  # whole ones; `replica` of divided ones
    found = run(tree)
    np.testing.assert_array_equal(found["bias"], 8)
    np.testing.assert_array_equal(found["wide"], 2)


def test_whole_leaves_count_once_in_the_norm_and_divided_ones_wholly():
    tree = params(0)
    run = over_devices(lambda tree: sum_squares(tree, PLACES), (SPECS,), P())
    total = sum(float((leaf**2).sum()) for leaf in tree.values())
    np.testing.assert_allclose(run(tree), total, rtol=1e-6)


def test_means_over_the_batch_ignore_context():
    def mean(x):
        return mean_over_batch({"loss": x.mean(), "count": jnp.float32(len(x))})

    found = over_devices(mean, ROWS, P())(jnp.arange(8.0))
    assert found == {"loss": 3.5, "count": 2}


@functools.cache
def convolved(devices, count):
    """Return the sum over each pixel's vertical neighbours, of rows divided over devices."""
    mesh = make_mesh(MeshConfig(replica=-1, context=devices))

    def run(x):
        padded = with_neighbours(x, "context", 1, count)
        return sum(padded[:, i : i + x.shape[1]] * (i + 1) for i in range(2 * count + 1))

    return over_devices(run, P(None, "context"), P(None, "context"), mesh)


@given(seeds, st.sampled_from([2, 4, 8]), st.integers(0, 2))
def test_neighbouring_rows_continue_a_frame_and_zeros_surround_it(seed, devices, count):
    x = np.random.default_rng(seed).normal(size=(2, 16, 3))
    padded = np.pad(x, ((0, 0), (count, count), (0, 0)))
    expected = sum(padded[:, i : i + 16] * (i + 1) for i in range(2 * count + 1))
    np.testing.assert_allclose(convolved(devices, count)(x), expected, atol=1e-5)


def test_gradients_cross_the_border_between_devices_once():
    x = np.random.default_rng(0).normal(size=(2, 16, 3)).astype(np.float32)

    def loss_of(run):
        return lambda x: jnp.sum(jnp.sin(run(x)))

    def whole(x):
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        return sum(padded[:, i : i + 16] * (i + 1) for i in range(3))

    found = jax.jit(jax.grad(loss_of(convolved(4, 1))))(x)
    np.testing.assert_allclose(found, jax.grad(loss_of(whole))(x), atol=1e-5)


def test_the_cotangent_of_gathered_rows_is_cut_and_not_summed():
    """Let two devices along `context` compute the same loss from the whole frame."""

    def gradient(weight, x):
        def local(weight):
            rows = own_rows(x, "context", 1) * weight
            return jnp.sum(whole_rows(rows, "context", 1) ** 2)

        return jax.lax.psum(jax.grad(local)(weight), "context")

    x = jnp.arange(8.0).reshape(1, 8)
    mesh = make_mesh(MeshConfig(replica=4, context=2))
    found = over_devices(gradient, (P(), P()), P(), mesh)(jnp.float32(3), x)
    np.testing.assert_allclose(found, 2 * 3 * (x**2).sum(), rtol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_few_rows_fill_many_devices_and_the_surplus_is_dropped(count):
    def run(whole, rows):
        return rows["x"] * whole, jnp.full(len(rows["x"]), device_rows(len(rows["x"])).first)

    rows = {"x": jnp.arange(float(count)), "none": None}
    scaled, first = jax.jit(map_rows(run, MESH, P()))(jnp.float32(2), rows)
    np.testing.assert_array_equal(scaled, 2 * np.arange(count))
    assert len(first) == count


def test_random_numbers_belong_to_a_row_and_not_to_a_device():
    key = jax.random.key(5)

    def draw(rows):
        return rows.normal(key, (3,)), rows.of(jax.random.uniform(key, (rows.total,)))

    def on_device(x):
        return draw(device_rows(len(x)))

    found = over_devices(on_device, ROWS, (ROWS, ROWS))(jnp.zeros(8))
    for ours, expected in zip(found, draw(all_rows(8))):
        np.testing.assert_array_equal(ours, expected)
