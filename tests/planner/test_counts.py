"""Traffic, live memory and bounds of small programs, counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from lumiere_jax.parallel.count import Collective
from lumiere_jax.planner.bounds import sent_between, sent_inside, time_bounds
from lumiere_jax.planner.chips import CHIPS
from lumiere_jax.planner.counts import Counts
from lumiere_jax.planner.jaxprs import tiled_size_of
from lumiere_jax.planner.live_memory import estimate_temporaries
from lumiere_jax.planner.memory_traffic import count_traffic

N = 64
MATRIX = 4 * N * N  # bytes
X = jax.ShapeDtypeStruct((N, N), jnp.float32)


def jaxpr(function, *arguments):
    return jax.jit(function).trace(*arguments).jaxpr.jaxpr


def traffic(function, *arguments):
    return count_traffic(jaxpr(function, *arguments))


def temporaries(function, *arguments):
    return estimate_temporaries(jaxpr(function, *arguments))


def test_a_product_reads_its_operands_and_writes_its_result():
    assert traffic(lambda x: x @ x, X) == 3 * MATRIX
    assert traffic(lambda x: jnp.sin(x) + 1, X) == 0


def test_the_products_of_attention_are_one_kernel():
    heads = jax.ShapeDtypeStruct((8, N, N), jnp.float32)
    assert traffic(lambda q: jnp.einsum("hqd,hkd->hqk", q, q), heads) == 0


def test_a_loop_counts_once_an_iteration_and_of_branches_the_larger_one():
    def loop(x):
        return jax.lax.scan(lambda c, _: (c @ x, None), x, length=5)[0]

    assert traffic(loop, X) == 5 * 3 * MATRIX

    def branches(x):
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x @ x @ x, x)

    assert traffic(branches, X) == 2 * 3 * MATRIX


def test_an_array_lives_until_it_is_last_read():
    def chain(x):
        for _ in range(5):
            x = x @ x
        return x

    # One product is read while the next is written; the result takes an argument's place.
    assert temporaries(chain, X) == 2 * MATRIX

    def kept(x):
        products = [x @ (x + i) for i in range(5)]
        return sum(p @ p for p in products[::-1])

    assert temporaries(kept, X) >= 5 * MATRIX


def test_elementwise_results_of_one_array_are_not_stored():
    assert temporaries(lambda x: jnp.exp(jnp.sin(x) * 2 + 1) @ x, X) == 0
    # The sum of two products is: neither of them has to stay for it.
    many = temporaries(lambda x: ((x @ x) + (x.T @ x)) @ x, X)
    assert many == 3 * MATRIX


def test_rematerialisation_needs_less():
    def layer(x):
        for _ in range(4):
            x = jnp.sin(x @ x)
        return x

    def loss(x, function):
        for _ in range(6):
            x = function(x)
        return x.sum()

    stored, recomputed = (
        temporaries(jax.grad(lambda x, f=f: loss(x, f)), X) for f in (layer, jax.checkpoint(layer))
    )
    assert stored > 20 * MATRIX
    assert recomputed < 0.7 * stored


def test_the_estimate_is_that_of_the_compiler_for_a_chain_of_products():
    def loss(x, weights):
        for weight in weights:
            x = jnp.tanh(x @ weight)
        return (x**2).sum()

    weights = [jax.ShapeDtypeStruct((512, 512), jnp.float32)] * 8
    x = jax.ShapeDtypeStruct((4096, 512), jnp.float32)
    traced = jax.jit(jax.grad(loss)).trace(x, weights)
    measured = traced.lower().compile().memory_analysis().temp_size_in_bytes
    assert estimate_temporaries(traced.jaxpr.jaxpr) == pytest.approx(measured, rel=0.35)


def test_a_tpu_fills_up_few_channels_unless_there_are_many_frames():
    def size(*shape):
        return tiled_size_of(jaxpr(lambda x: x, jax.ShapeDtypeStruct(shape, jnp.float32)).invars[0])

    assert size(2, 16, 8, 8, 32) == 4 * (4 * 2 * 16 * 64 * 32)  # 32 of 128 places, either way
    assert size(8, 16, 8, 8, 32) == 4 * (8 * 16 * 64 * 32)  # 128 frames fill the places
    assert size(1, 8, 8, 8, 512) == 4 * (8 * 64 * 512)
    assert size(100, 3) == 4 * 300


RECORDS = (
    ("all_gather", ("fsdp",), 0.75 * 1000, 0),
    ("reduce_scatter", ("fsdp", "context"), 7 / 8 * 1000, 0),
    ("all_reduce", ("fsdp",), 2 * 0.75 * 1000, 0),
    ("collective_permute", ("context",), 1000, 0),
    # Four replicas are two in each of two slices, whose sum goes out once: half by each of them.
    ("all_reduce", ("replica",), 2 * 0.5 * 1000, 2 * 0.5 * 1000 / 2),
)


@pytest.mark.parametrize(("kind", "axes", "inside", "between"), RECORDS)
def test_a_ring_sends(kind, axes, inside, between):
    record = Collective(kind, axes, 3, 1000)
    mesh = {"replica": 4, "fsdp": 4, "context": 2}
    assert sent_inside(record, mesh, 2) == inside
    assert sent_between(record, mesh, 2) == between
    assert sent_between(record, mesh, 1) == 0


def test_bounds_are_counts_over_rates():
    chip, mesh = CHIPS["v5e"], {"replica": 1, "fsdp": 4, "context": 1}
    gather = Collective("all_gather", ("fsdp",), 1, int(4 * chip.link_rate))
    counts = Counts((gather,), int(8 * chip.flops), int(chip.memory_rate), 0, {"batch": 0})
    assert time_bounds(counts, chip, mesh) == pytest.approx(
        {"compute": 2, "memory": 1, "interconnect": 3, "network": 0}
    )
    assert Counts.from_json(counts.to_json()) == counts
