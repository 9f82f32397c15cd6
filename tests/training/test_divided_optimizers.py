"""Optimizers on eight devices with parts of the parameters, compared with optax on whole arrays."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from lumiere_jax.parallel.mesh import MeshConfig, make_mesh
from lumiere_jax.parallel.sharding import Division, divisions_of, storage_shardings
from lumiere_jax.training.optimizer import OptimizerConfig, make_optimizer, optimizer_shardings

NAMES = ("adamw", "adafactor", "muon")
SIZES = {"fsdp": 4, "context": 2}
WAYS = [("fsdp", "context"), ("context", "fsdp"), ("fsdp",), ("context",)]


def shapes_of(name):
    """Return shapes of parameters; Adafactor factors only what has two dimensions of 128."""
    large = name == "adafactor"
    return {
        "unet": {
            "block": {"kernel": (3, 3, 128, 256) if large else (3, 3, 8, 16), "bias": (16,)},
            "merge": {"kernel": (2, 160, 128) if large else (2, 16, 8)},
            "project": {"kernel": (136, 136) if large else (24, 16)},
            "conv_out": {"kernel": (3, 3, 8, 4)},
        },
        "text": {"token_embedding": {"embedding": (136, 8)}, "norm": {"scale": (8,)}},
    }


def is_shape(node):
    return isinstance(node, tuple)


def each(function, shapes):
    """Return a function of every shape of a tree."""
    return jax.tree.map(function, shapes, is_leaf=is_shape)


def ways_to_divide(shape):
    """Return all divisions of an array; first its last dimension over both axes, last none."""
    divisions = [
        Division(dimension, axes, int(np.prod([SIZES[axis] for axis in axes])))
        for axes in WAYS
        for dimension in reversed(range(len(shape)))
    ]
    return [d for d in divisions if shape[d.dimension] % d.parts == 0] + [Division()]


@st.composite
def trees_of_divisions(draw, shapes):
    return each(lambda shape: draw(st.sampled_from(ways_to_divide(shape))), shapes)


def draw_tree(seed, shapes, dtype, size=1.0):
    rng = np.random.default_rng(seed)
    return each(lambda shape: (size * rng.normal(size=shape)).astype(dtype), shapes)


def mesh():
    return make_mesh(MeshConfig(fsdp=4, context=2))


def config_of(name, clip_norm=1.0):
    return OptimizerConfig(name=name, learning_rate=0.1, weight_decay=0.01, clip_norm=clip_norm)


def make_run(config, divisions=None):
    """Return (params, state, stacked gradients) -> (params, state, stacked updates)."""
    optimizer = make_optimizer(config, 10, divisions)

    def step(carry, gradients):
        params, state = carry
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), updates

    def run(params, state, gradients):
        (params, state), updates = jax.lax.scan(step, (params, state), gradients)
        return params, state, updates

    return run


@functools.cache
def initial_state(name, dtype):
    params = each(lambda shape: np.zeros(shape, dtype), shapes_of(name))
    return jax.device_get(jax.jit(make_optimizer(config_of(name), 10).init)(params))


@functools.cache
def run_whole(name):
    return jax.jit(make_run(config_of(name)))


def divided_run(config, divisions, params):
    """Return the same function of whole arrays, computed on parts inside of `jax.shard_map`."""
    specs = jax.tree.map(lambda leaf, division: division.spec(leaf.ndim), params, divisions)
    shardings = jax.tree.map(lambda spec: jax.NamedSharding(mesh(), spec), specs)
    optimizer = make_optimizer(config, 10, divisions)
    state = jax.eval_shape(optimizer.init, params)
    of_state = jax.tree.map(lambda s: s.spec, optimizer_shardings(optimizer, state, shardings))
    stacked = jax.tree.map(lambda spec: P(None, *spec), specs)
    return jax.shard_map(
        make_run(config, divisions),
        mesh=mesh(),
        in_specs=(specs, of_state, stacked),
        out_specs=(specs, of_state, stacked),
        check_vma=False,
    )


def assert_close(actual, expected, tolerance):
    """Compare trees; the tolerance is a fraction of the largest element of each array."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, ours), theirs in zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(expected)):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        largest = np.abs(theirs).max()
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=tolerance * largest, err_msg=jax.tree_util.keystr(path)
        )


def compare_updates(name, divisions, seed, size, dtype, tolerance):
    """Compare three updates of parts with those of whole arrays, and the states after them."""
    shapes = shapes_of(name)
    params = draw_tree(seed, shapes, dtype)
    gradients = draw_tree(seed + 1, each(lambda shape: (3, *shape), shapes), dtype, size)
    state = initial_state(name, dtype)
    run = jax.jit(divided_run(config_of(name), divisions, params))
    actual = run(params, state, gradients)
    assert_close(actual, run_whole(name)(params, state, gradients), tolerance)


def stored_shapes(name):
    """Return the parameters as shapes, with the shardings that they are stored with."""
    shapes = each(lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32), shapes_of(name))
    return jax.tree.map(
        lambda leaf, sharding: leaf.update(sharding=sharding),
        shapes,
        storage_shardings(shapes, mesh(), small=16),
    )


def inner_jaxprs(equation):
    """Yield the programs that an operation calls."""
    for value in jax.tree.leaves(tuple(equation.params.values())):
        value = getattr(value, "jaxpr", value)
        if hasattr(value, "eqns"):
            yield value


def operations(jaxpr):
    """Yield the names of all operations of a program and of the programs that it calls."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in inner_jaxprs(equation):
            yield from operations(inner)


def traced_update(name, divisions):
    """Return the program of one update of parts."""
    params = stored_shapes(name)
    state = jax.eval_shape(make_optimizer(config_of(name), 10).init, params)
    run = divided_run(config_of(name), divisions, params)
    gradients = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), params
    )
    return jax.make_jaxpr(run)(params, state, gradients).jaxpr


@pytest.mark.parametrize("name", NAMES)
def test_however_arrays_are_divided_they_are_updated_as_whole_ones(name):
    # Gradients of norms far below and above the norm that they are clipped to.
    @settings(max_examples=2)
    @given(trees_of_divisions(shapes_of(name)), st.integers(0, 2**20), st.sampled_from([1e-5, 1.0]))
    @example(divisions_of(stored_shapes(name)), 0, 1.0)
    @example(each(lambda shape: ways_to_divide(shape)[-2], shapes_of(name)), 0, 1.0)
    def compare(divisions, seed, size):
        with jax.enable_x64(True):
            compare_updates(name, divisions, seed, size, jnp.float64, 1e-9)

    compare()


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_loses_no_more_than_rounding(name):
    compare_updates(name, divisions_of(stored_shapes(name)), 0, 1.0, jnp.float32, 1e-4)


def test_a_whole_gradient_counts_once_in_the_norm_and_a_divided_one_with_all_parts():
    shapes = {"whole": (8,), "all": (16,), "some": (12,)}
    divisions = {
        "whole": Division(),
        "all": Division(0, ("fsdp", "context"), 8),
        "some": Division(0, ("fsdp",), 4),
    }
    config = OptimizerConfig(beta1=0.0, clip_norm=2.0)
    params = each(np.zeros, shapes)
    gradients = {name: np.full((1, *shape), 3.0) for name, shape in shapes.items()}
    state = make_optimizer(config, 10).init(params)
    _, state, _ = divided_run(config, divisions, params)(params, state, gradients)
    # The first moment, which does not decay here, is the clipped gradient: 36 elements of 3 have
    # the norm 18.
    for moment in jax.tree.leaves(state[1].mu):
        np.testing.assert_allclose(moment, 3.0 * 2 / 18, rtol=1e-6)


def test_adafactor_factors_what_the_shape_of_the_whole_says():
    params = {
        "factored": jax.ShapeDtypeStruct((3, 3, 128, 256), jnp.float32),
        "narrow": jax.ShapeDtypeStruct((127, 256), jnp.float32),
    }
    divisions = {
        "factored": Division(2, ("fsdp", "context"), 8),
        "narrow": Division(1, ("fsdp", "context"), 8),
    }
    gradients = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), params
    )
    config = config_of("adafactor")
    state = jax.eval_shape(make_optimizer(config, 10).init, params)
    _, state, _ = jax.eval_shape(divided_run(config, divisions, params), params, state, gradients)
    moments = state[1][0]
    assert moments.v_row["factored"].shape == (3, 3, 128)
    assert moments.v_col["factored"].shape == (3, 3, 256)
    assert moments.v["factored"].shape == (1,)
    assert moments.v["narrow"].shape == (127, 256)


@pytest.mark.parametrize(
    ("name", "sums", "gathers"), [("adamw", 1, 0), ("adafactor", 3, 0), ("muon", 1, 3)]
)
def test_an_update_communicates_once_for_all_arrays_and_once_for_each_matrix(name, sums, gathers):
    found = list(operations(traced_update(name, divisions_of(stored_shapes(name)))))
    assert found.count("all_gather") == gathers
    assert len([operation for operation in found if "psum" in operation]) == sums


@pytest.mark.parametrize("name", NAMES)
def test_an_update_of_whole_arrays_communicates_nothing(name):
    whole = each(lambda shape: Division(), shapes_of(name))
    found = set(operations(traced_update(name, whole)))
    assert not [operation for operation in found if "psum" in operation or "gather" in operation]


def test_muon_gathers_a_matrix_after_the_last_one_is_done():
    jaxpr, gathers = traced_update("muon", divisions_of(stored_shapes("muon"))), 0
    # The program of the update is inside of those of `shard_map` and `scan`.
    while jaxpr.eqns[0].primitive.name in ("shard_map", "scan"):
        (jaxpr,) = inner_jaxprs(jaxpr.eqns[0])
    needed = {}  # number of gathers that a value depends on
    for equation in jaxpr.eqns:
        inputs = [v for v in equation.invars if not hasattr(v, "val")]
        before = max((needed.get(v, 0) for v in inputs), default=0)
        inside = [name for inner in inner_jaxprs(equation) for name in operations(inner)]
        if "all_gather" in [equation.primitive.name, *inside]:
            assert before == gathers
            gathers += 1
            before = gathers
        needed |= dict.fromkeys(equation.outvars, before)
    assert gathers == 3


@pytest.mark.parametrize("name", NAMES)
def test_state_is_that_of_whole_arrays(name):
    params = stored_shapes(name)
    divided = make_optimizer(config_of(name), 10, divisions_of(params))
    actual = jax.eval_shape(divided.init, params)
    assert actual == jax.eval_shape(make_optimizer(config_of(name), 10).init, params)


@pytest.mark.parametrize("name", NAMES)
def test_state_with_the_shape_of_its_parameter_is_divided_like_it(name):
    params = stored_shapes(name)
    optimizer = make_optimizer(config_of(name), 10)
    state = jax.eval_shape(optimizer.init, params)
    shardings = optimizer_shardings(optimizer, state, jax.tree.map(lambda p: p.sharding, params))
    by_path = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(params)}
    divided = 0
    for (path, leaf), sharding in zip(
        jax.tree.leaves_with_path(state), jax.tree.leaves(shardings), strict=True
    ):
        name = jax.tree_util.keystr(path)
        (param,) = [p for end, p in by_path.items() if name.endswith(end)] or [None]
        like = param is not None and leaf.shape == param.shape
        assert sharding.spec == (param.sharding.spec if like else P())
        divided += like and sharding.spec != P()
    assert divided > 1
