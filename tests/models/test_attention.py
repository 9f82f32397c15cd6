"""Attention in chunks, and by the TPU's kernel in interpret mode, is attention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.pallas import tpu as pltpu

from lumiere_jax.models import attention


def inputs(rows, queries, keys, heads=2, width=8, seed=0, padded=True):
    rng = np.random.default_rng(seed)
    shapes = ((rows, queries, heads, width), *[(rows, keys, heads, width)] * 2)
    lengths = rng.integers(1, keys + 1, rows) if padded else np.full(rows, keys)
    return *(jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes), jnp.asarray(lengths)


def outputs(function, *arguments):
    """Return the result, and the gradients with respect to query, key and value."""
    *arrays, lengths = arguments

    def loss(*arrays):
        return jnp.sum(jnp.sin(function(*arrays, lengths)))

    return function(*arguments), *jax.jit(jax.grad(loss, (0, 1, 2)))(*arrays)


def check(found, expected, tolerance):
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


@settings(max_examples=6)
@given(
    rows=st.integers(1, 7),
    queries=st.integers(1, 9),
    keys=st.integers(1, 9),
    limit=st.sampled_from([1, 64, 200, 1000]),
    padded=st.booleans(),
)
def test_a_few_rows_or_queries_at_a_time_give_what_all_give(rows, queries, keys, limit, padded):
    given = inputs(rows, queries, keys, padded=padded)
    expected = outputs(attention._plain, *given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "SCORES", limit)
        check(outputs(attention.attend, *given), expected, 1e-5)


def test_large_scores_are_never_whole(monkeypatch):
    given = inputs(16, 256, 256, padded=False)

    def temporary():
        def loss(*arrays):
            return jnp.sum(attention.attend(*arrays, given[3]) ** 2)

        compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*given[:3]).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    scores = 16 * 2 * 256 * 256 * 4
    whole = temporary()
    monkeypatch.setattr(attention, "SCORES", scores // 16)
    assert whole > scores
    assert temporary() < whole / 3


@pytest.mark.parametrize(("queries", "keys"), [(128, 205)])
def test_the_kernel_for_tpus_gives_what_plain_attention_gives(queries, keys):
    given = inputs(2, queries, keys, width=64, padded=True)
    assert attention._flashable(*given[:2])
    expected = outputs(attention._plain, *given)
    with pltpu.force_tpu_interpret_mode():
        check(outputs(attention._flash, *given), expected, 2e-5)


def test_short_axes_are_not_padded_to_the_kernel_s_blocks():
    assert not attention._flashable(*inputs(2, 10, 10)[:2])
    assert not attention._flashable(*inputs(2, 128, 77)[:2])


def test_a_program_for_a_tpu_has_the_kernel_and_one_for_a_cpu_has_not(monkeypatch):
    monkeypatch.setattr(attention, "SCORES", 1)
    traced = jax.jit(attention.attend).trace(*inputs(2, 128, 256, width=64))
    programs = {
        platform: traced.lower(lowering_platforms=(platform,)).as_text()
        for platform in ("cpu", "tpu")
    }
    assert "tpu_custom_call" in programs["tpu"]
    assert "tpu_custom_call" not in programs["cpu"]
