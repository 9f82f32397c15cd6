"""Collectives of small programs on a mesh of fsdp = 4 × context = 2, counted by hand."""

import functools

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import PartitionSpec as P

from lumiere_jax.parallel.count import (
    KINDS,
    Collective,
    compiled_collectives,
    count_collectives,
    to_json,
)
from lumiere_jax.parallel.mesh import MeshConfig, make_mesh

STORAGE = ("fsdp", "context")
gather = functools.partial(lax.all_gather, axis_name="fsdp", tiled=True)
BYTES = 4 * 2 * 3  # of the operand of all programs: float32 [2, 3]


def on_devices(body, *, check_vma=False):
    """Return a body as a program in which every device has a whole operand."""
    mesh = make_mesh(MeshConfig(replica=1, fsdp=4, context=2))
    return jax.jit(
        jax.shard_map(body, mesh=mesh, in_specs=P(), out_specs=P(STORAGE), check_vma=check_vma)
    )


def trace(body, *, check_vma=False):
    """Return the jaxpr of a body with an operand of float32 [2, 3] on each device."""
    return on_devices(body, check_vma=check_vma).trace(jnp.ones((2, 3))).jaxpr


def count(body, **options):
    return count_collectives(trace(body, **options))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (gather, Collective("all_gather", ("fsdp",), 1, 4 * BYTES)),
        (
            lambda x: lax.all_gather(x, STORAGE, axis=1),
            Collective("all_gather", STORAGE, 1, 8 * BYTES),
        ),
        (
            lambda x: lax.psum_scatter(x, "context", tiled=True),
            Collective("reduce_scatter", ("context",), 1, BYTES),
        ),
        (
            lambda x: lax.psum(x, ("context", "fsdp")),
            Collective("all_reduce", STORAGE, 1, BYTES),
        ),
        (lambda x: lax.pmean(x, "fsdp"), Collective("all_reduce", ("fsdp",), 1, BYTES)),
        (
            lambda x: lax.pmax(x, "fsdp") + lax.pmin(x, "fsdp"),
            Collective("all_reduce", ("fsdp",), 2, 2 * BYTES),
        ),
        (
            lambda x: lax.ppermute(x.astype(jnp.bfloat16)[:1], "fsdp", [(0, 1), (1, 2), (2, 3)]),
            Collective("collective_permute", ("fsdp",), 1, 2 * 3),
        ),
        (
            lambda x: lax.all_to_all(x, "context", 0, 1, tiled=True),
            Collective("all_to_all", ("context",), 1, BYTES),
        ),
    ],
)
def test_each_kind_counts_once_with_the_bytes_of_the_whole(body, expected):
    assert count(body) == [expected]


def test_calls_with_the_same_axes_are_one_record():
    def body(x):
        return gather(x).sum() + gather(x[:1]) + lax.all_gather(x, "context", tiled=True).sum()

    assert count(body) == [
        Collective("all_gather", ("context",), 1, 2 * BYTES),
        Collective("all_gather", ("fsdp",), 2, 4 * BYTES + 2 * BYTES),
    ]


def test_a_tree_is_reduced_in_one_call_per_array():
    records = count(lambda x: sum(lax.psum((x, x[0], x[0, 0]), "fsdp")))
    assert records == [Collective("all_reduce", ("fsdp",), 3, BYTES + 4 * 3 + 4)]


def test_an_axis_with_one_device_does_not_count():
    assert count(lambda x: lax.all_gather(lax.psum(x, "replica"), "replica", tiled=True)) == []
    both = count(lambda x: lax.psum(x, ("replica", "context")))
    assert both == [Collective("all_reduce", ("context",), 1, BYTES)]


def test_the_index_of_a_device_and_sums_over_array_axes_are_no_collectives():
    assert count(lambda x: x.sum(0) + lax.axis_index("fsdp") + lax.axis_size("fsdp")) == []


def test_with_the_check_of_varying_axes_the_same_collectives_count():
    def body(x):
        return lax.psum(lax.pcast(x, "fsdp", to="varying"), "fsdp")

    expected = [Collective("all_reduce", ("fsdp",), 1, BYTES)]
    assert count(body) == count(body, check_vma=True) == expected


def test_a_loop_counts_as_often_as_it_runs():
    def body(x, length=5):
        return lax.scan(lambda c, _: (c + gather(c).sum(), None), x, length=length)[0]

    assert count(body) == [Collective("all_gather", ("fsdp",), 5, 5 * 4 * BYTES)]
    nested = count(lambda x: lax.fori_loop(0, 3, lambda _, x: body(x), x))
    assert nested == [Collective("all_gather", ("fsdp",), 15, 15 * 4 * BYTES)]
    assert count(functools.partial(body, length=0)) == []


def test_a_loop_of_unknown_length_counts_at_least_once():
    def body(x):
        return lax.while_loop(lambda x: x.sum() < 9, lambda x: x + lax.psum(x, "fsdp"), gather(x))

    records = count(body)
    assert records == [
        Collective("all_gather", ("fsdp",), 1, 4 * BYTES),
        Collective("all_reduce", ("fsdp",), 1, 4 * BYTES, at_least=True),
    ]
    json = to_json(records)
    assert json["all_reduce"]["at_least"]
    assert json["all_reduce"]["by_axes"]["fsdp"]["at_least"]
    assert "at_least" not in json["all_gather"]


def test_a_known_and_an_unknown_number_of_calls_make_a_lower_bound():
    def body(x):
        x = lax.psum(x, "fsdp")
        return lax.while_loop(lambda x: x.sum() < 9, lambda x: lax.psum(x, "fsdp"), x)

    assert count(body) == [Collective("all_reduce", ("fsdp",), 2, 2 * BYTES, at_least=True)]


def test_of_the_branches_the_one_that_moves_more_bytes_counts():
    def few_large(x):
        return gather(x).sum()

    def many_small(x):
        return sum(lax.psum(x[0, 0], "fsdp") for _ in range(3))

    records = count(lambda x: x + lax.cond(x[0, 0] > 0, many_small, few_large, x))
    assert records == [Collective("all_gather", ("fsdp",), 1, 4 * BYTES)]
    alone = count(lambda x: x + lax.cond(x[0, 0] > 0, many_small, lambda x: x[0, 0], x))
    assert alone == [Collective("all_reduce", ("fsdp",), 3, 3 * 4)]


def test_nested_jit_counts_each_call():
    inner = jax.jit(jax.jit(gather))
    assert count(lambda x: inner(x) + inner(2 * x)) == [
        Collective("all_gather", ("fsdp",), 2, 2 * 4 * BYTES)
    ]


def test_functions_with_custom_gradients_are_seen():
    whole = jax.custom_vjp(gather)
    whole.defvjp(
        lambda x: (gather(x), None), lambda _, g: (lax.psum_scatter(g, "fsdp", tiled=True),)
    )

    @jax.custom_jvp
    def mean(x):
        return lax.pmean(x, "fsdp")

    mean.defjvp(lambda x, t: (mean(*x), lax.pmean(*t, "fsdp")))

    gathered = Collective("all_gather", ("fsdp",), 1, 4 * BYTES)
    assert count(whole) == [gathered]
    assert count(jax.grad(lambda x: jnp.sin(whole(x)).sum())) == [
        gathered,
        Collective("reduce_scatter", ("fsdp",), 1, 4 * BYTES),
    ]
    assert count(mean) == [Collective("all_reduce", ("fsdp",), 1, BYTES)]


def remat_loss(x):
    return jnp.sin(jax.checkpoint(lambda x: jnp.sin(gather(x)))(x)).sum()


def test_a_gather_inside_checkpoint_runs_forward_and_again_backward():
    assert count(jax.grad(remat_loss)) == [
        Collective("all_gather", ("fsdp",), 2, 2 * 4 * BYTES),
        Collective("reduce_scatter", ("fsdp",), 1, 4 * BYTES),
    ]


def test_a_checkpointed_loop_gathers_twice_per_iteration():
    def loss(x):
        xs = jnp.stack([x, 2 * x, 3 * x])
        return lax.scan(lambda c, x: (c + remat_loss(x), None), jnp.float32(0), xs)[0]

    assert count(jax.grad(loss)) == [
        Collective("all_gather", ("fsdp",), 2 * 3, 2 * 3 * 4 * BYTES),
        Collective("reduce_scatter", ("fsdp",), 3, 3 * 4 * BYTES),
    ]


def test_a_gather_whose_result_is_unused_does_not_count():
    def unused(x):
        gather(x)
        return x

    def in_while(x):
        return lax.while_loop(lambda x: x.sum() < 9, unused, x)

    def in_remat(x):
        return jax.checkpoint(lambda x: (gather(x), jnp.sin(x)))(x)[1]

    def in_scan(x):
        return lax.scan(lambda c, _: ((unused(c[0]), gather(c[0])[:2]), None), (x, x), length=2)

    bodies = (unused, in_while, in_remat, lambda x: in_scan(x)[0][0], jax.jit(unused))
    for body in bodies:
        jaxpr = trace(body)
        assert "all_gather" in str(jaxpr)
        assert count_collectives(jaxpr) == []


def test_an_unneeded_output_inside_a_recomputed_body_does_not_count():
    def body(x):  # the residual of a linear function is not needed
        return jax.grad(lambda x: jax.checkpoint(lambda x: 3 * gather(x))(x).sum())(x)

    assert count(body) == [Collective("reduce_scatter", ("fsdp",), 1, 4 * BYTES)]


def ragged(x):
    indices = jnp.zeros(4, jnp.int32)
    return lax.ragged_all_to_all(x, x, *[indices] * 4, axis_name="fsdp")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("pbroadcast", lambda x: lax.pbroadcast(x, ("fsdp",), 0)),
        ("ragged_all_to_all", ragged),
    ],
)
def test_an_unknown_operation_over_mesh_axes_raises(name, call):
    with pytest.raises(ValueError, match=rf"^{name} over fsdp is not known; add it to lumiere_jax"):
        count(lambda x: lax.scan(lambda c, _: (c, call(x)), x, length=2)[1])


def test_an_axis_of_no_surrounding_mesh_raises():
    (equation,) = trace(gather).eqns
    with pytest.raises(ValueError, match=r"^all_gather: fsdp is not an axis of a surrounding"):
        count_collectives(equation.params["jaxpr"])


def test_an_operation_with_collectives_in_several_functions_raises():
    def body(x):
        def solve(_, b):
            return lax.pmean(b, "fsdp")

        return lax.custom_linear_solve(lambda x: lax.psum(x, "fsdp"), x, solve, symmetric=True)

    with pytest.raises(ValueError, match=r"solve: several of its functions have collectives"):
        count(body)


def test_json_has_all_five_kinds():
    assert to_json([]) == {kind: {"count": 0, "bytes": 0, "by_axes": {}} for kind in KINDS}
    json = to_json(
        count(
            lambda x: (
                gather(x)
                + lax.all_gather(x[:1], STORAGE, tiled=True)
                + lax.psum(1.0 * x[0], "fsdp")
            )
        )
    )
    assert json["all_gather"] == {
        "count": 2,
        "bytes": 8 * BYTES,
        "by_axes": {
            "fsdp": {"count": 1, "bytes": 4 * BYTES},
            "fsdp,context": {"count": 1, "bytes": 4 * BYTES},
        },
    }
    assert json["all_reduce"]["by_axes"] == {"fsdp": {"count": 1, "bytes": 12}}
    assert json["all_to_all"]["count"] == 0


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
ARRAYS = st.tuples(SHAPES, st.sampled_from(["float32", "bfloat16", "int8", "bool"]))


@settings(max_examples=20)
@given(st.lists(ARRAYS, max_size=4), st.sampled_from([("fsdp",), ("context",), STORAGE]))
def test_gathers_add_up(arrays, axes):
    parts = {("fsdp",): 4, ("context",): 2, STORAGE: 8}[axes]
    zeros = [jnp.zeros(shape, dtype) for shape, dtype in arrays]

    def body(*xs):
        return tuple(lax.all_gather(x, axes, tiled=True) for x in xs)

    records = count_collectives(on_devices(body).trace(*zeros).jaxpr)
    assert sum(record.count for record in records) == len(arrays)
    assert sum(record.bytes for record in records) == parts * sum(x.nbytes for x in zeros)


def test_the_compiled_program_has_the_collectives_of_the_jaxpr():
    def body(x):
        x = lax.all_gather(x, STORAGE, tiled=True)
        x = jnp.sin(lax.all_to_all(x, "fsdp", 0, 1, tiled=True))
        x = jnp.sin(lax.ppermute(x, "fsdp", [(0, 1), (1, 2)]))
        x = jnp.sin(lax.psum_scatter(x, "context", tiled=True))
        x = jnp.sin(lax.ppermute(x, "context", [(0, 1)]))
        return lax.pmax(x, "fsdp")

    traced = on_devices(body).trace(jnp.ones((2, 3)))
    json = to_json(count_collectives(traced.jaxpr))
    compiled = compiled_collectives(traced.lower().compile().as_text())
    assert compiled == {kind: json[kind]["count"] for kind in KINDS}
    assert compiled == dict(zip(KINDS, (1, 1, 1, 2, 1)))


def test_in_compiled_text_an_asynchronous_pair_counts_once():
    text = """
%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}
%async_computation (p: f32[8]) -> f32[1] {
  ROOT %reduce-scatter.1 = f32[1]{0} reduce-scatter(%p), dimensions={0}, to_apply=%sum
}
ENTRY %main (x: f32[2]) -> f32[8] {
  %all-gather-start.3 = (f32[2], f32[8]) all-gather-start(%x), metadata={op_name="all_gather"}
  %all-gather-done.3 = f32[8]{0} all-gather-done(%all-gather-start.3)
  %start = ((f32[8]), f32[1]) async-start(%all-gather-done.3), calls=%async_computation
  %done = f32[1] async-done(%start), calls=%async_computation
  %all-reduce.7 = (f32[8], /*index=1*/f32[1]) all-reduce(%all-gather-done.3, %done), to_apply=%sum
  %collective-permute-start = (f32[8], f32[8]) collective-permute-start(%get-tuple-element)
  %other = f32[8] ragged-all-to-all(%all-reduce.7), metadata={op_name="jit(f)/all-to-all"}
  ROOT %collective-permute-done = f32[8] collective-permute-done(%collective-permute-start)
}
"""
    assert compiled_collectives(text) == dict(zip(KINDS, (1, 1, 1, 1, 0)))
