import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from lumiere_jax.diffusion import (
    Conditions,
    Estimate,
    consensus,
    plan_tiles,
    plan_windows,
    tiles,
    window_weights,
    windowed,
    windows,
)
from lumiere_jax.parallel import MeshConfig, make_mesh
from lumiere_jax.parallel.count import count_collectives
from lumiere_jax.text import Text

X = jax.random.normal(jax.random.key(0), (2, 21, 4, 6, 3))
TIME = jnp.array([0.3, 0.3])
PLAN = plan_windows(21, 8, 3)
CONDITIONS = Conditions(low_resolution=2 * X, observed=3 * X, mask=X[..., :1])
MIX = jax.random.normal(jax.random.key(1), (3, 3))


def denoise(x, time, conditions):
    """Return a prediction that depends on the start of the window, so that windows disagree."""
    clean = jnp.cumsum(x @ MIX, axis=1)
    for given in (conditions.low_resolution, conditions.observed, conditions.mask):
        clean = clean + (0 if given is None else given)
    return Estimate(clean, jnp.cumsum(clean, axis=2), variance=2 * clean)


def cut(array, start, size=8):
    return None if array is None else array[:, start : start + size]


@pytest.fixture(scope="module")
def expected():
    """Return the predictions of all windows, reconciled by `consensus`."""
    answers = [
        denoise(cut(X, start), TIME, Conditions(*(cut(each, start) for each in CONDITIONS)))
        for start in PLAN.starts
    ]
    stacked = jax.tree.map(lambda *a: jnp.moveaxis(jnp.stack(a), 2, 1), *answers)
    weights = window_weights(PLAN, "ramp")
    return jax.tree.map(lambda a: jnp.moveaxis(consensus(a, PLAN, weights), 0, 1), stacked)


def check(answer, expected):
    for ours, wanted in zip(answer, expected):
        np.testing.assert_allclose(ours, wanted, atol=2e-5)


@pytest.mark.parametrize("group", [1, 2, 3, 4, 9])
def test_every_field_is_the_consensus_of_the_windows_whatever_the_group(group, expected):
    windowed = windows(denoise, PLAN, group=group, weights=window_weights(PLAN, "ramp"))
    check(jax.jit(windowed)(X, TIME, CONDITIONS), expected)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("context", [2, 4, 8])
def test_spread_over_a_mesh_it_is_the_same_clip(context, group, expected):
    mesh = make_mesh(MeshConfig(replica=-1, context=context))
    windowed = windows(
        denoise, PLAN, group=group, weights=window_weights(PLAN, "ramp"), mesh_axis="context"
    )
    check(on_mesh(windowed, mesh)(X, TIME, CONDITIONS), expected)


def on_mesh(function, mesh, specs=None):
    """Return a function that runs on every device of a mesh, with equal results."""
    specs = jax.P() if specs is None else specs
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=jax.P(), check_vma=False)
    )


def test_over_a_mesh_the_consensus_is_one_sum_of_normal_equations():
    mesh = make_mesh(MeshConfig(replica=1, fsdp=2, context=4))
    windowed = windows(lambda x, *_: Estimate(x, x), PLAN, mesh_axis="context")
    run = on_mesh(lambda x: windowed(x, TIME, Conditions()).clean, mesh)
    np.testing.assert_allclose(run(X), X, atol=1e-5)
    (reduction,) = count_collectives(run.trace(X).jaxpr)
    assert (reduction.kind, reduction.axes, reduction.count) == ("all_reduce", ("context",), 2)


def test_one_window_is_the_denoiser_itself():
    assert windows(denoise, plan_windows(21, 21, 0)) is denoise


def test_each_window_may_have_its_own_text():
    def read(x, time, conditions):
        told = conditions.text.embedding[:, 0, 0].reshape(-1, 1, 1, 1, 1)
        return Estimate(told + 0 * x, x)

    plan = plan_windows(8, 4, 0)
    texts = Text(jnp.arange(2.0).reshape(2, 1, 1, 1) * jnp.ones((2, 2, 5, 1)))
    clean = windows(read, plan, texts=texts, group=2)(X[:, :8], TIME, Conditions()).clean
    np.testing.assert_array_equal(clean[0, :, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1])


def test_memory_of_the_answers_is_that_of_a_group():
    """Read compiled temporaries: they grow with the group, and by the size of the clip."""

    def wide(x, time, conditions):
        hidden = jnp.sin(x[..., None, :] * jnp.arange(1.0, 33)[:, None])  # 32 × the window
        return Estimate(jnp.cumsum(hidden, 1).mean(-2), x)

    def temporary(frames, group):
        x = jax.ShapeDtypeStruct((1, frames, 16, 16, 3), jnp.float32)
        windowed = windows(wide, plan_windows(frames, 8, 2), group=group)
        compiled = jax.jit(lambda x: windowed(x, TIME[:1], Conditions())).lower(x).compile()
        return compiled.memory_analysis().temp_size_in_bytes, 4 * frames * 16 * 16 * 3

    (short, short_clip), (long, long_clip) = temporary(20, 1), temporary(80, 1)
    assert long - short <= 2.1 * (long_clip - short_clip)
    assert temporary(80, 4)[0] > 1.5 * long


def test_tiles_are_the_dense_least_squares_over_both_sides():
    plan = plan_tiles(9, 11, 5, 2)
    x = np.random.default_rng(0).normal(size=(1, 2, 9, 11, 3))

    def local(x, time, conditions):  # depends on the position of the tile
        return Estimate(jnp.cumsum(jnp.cumsum(x, 2), 3), x)

    matrix, answers = [], []
    for top in plan.rows.starts:
        for left in plan.columns.starts:
            tile = x[:, :, top : top + 5, left : left + 5]
            answers.append(np.cumsum(np.cumsum(tile, 2), 3).reshape(2, 25, 3))
            place = np.arange(99).reshape(9, 11)[top : top + 5, left : left + 5].ravel()
            matrix.append(np.eye(99)[place])
    stacked = np.concatenate(answers, axis=1)
    solve = np.linalg.lstsq(np.concatenate(matrix), np.hstack(stacked), rcond=None)[0]
    with jax.enable_x64(True):
        tiled = tiles(local, plan, group=2)(jnp.asarray(x), TIME[:1], Conditions())
        both = windows(tiles(local, plan), plan_windows(2, 1, 0))(x, TIME[:1], Conditions())
    expected = np.stack(np.hsplit(solve, 2)).reshape(x.shape)
    np.testing.assert_allclose(tiled.clean, expected, atol=1e-10)
    np.testing.assert_allclose(tiled.noise, x, atol=1e-10)
    np.testing.assert_allclose(both.clean, expected, atol=1e-10)


def test_a_clip_of_another_length_than_planned_is_an_error():
    with pytest.raises(ValueError, match="planned for 21"):
        windows(denoise, PLAN)(X[:, :20], TIME, Conditions())


def test_a_group_below_one_is_an_error():
    with pytest.raises(ValueError, match="use group=1"):
        windows(denoise, PLAN, group=0)


@st.composite
def windowed_problems(draw):
    """Draw random windows with random positive weights, and a group size."""
    frames = draw(st.integers(2, 24))
    size = draw(st.integers(1, frames - 1))
    plan = plan_windows(frames, size, draw(st.integers(0, size - 1)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return plan, rng.uniform(0.1, 3, (len(plan), size)), draw(st.integers(1, 4)), rng


@hypothesis.given(windowed_problems())
@hypothesis.settings(max_examples=20)
def test_sampling_solves_the_least_squares_problem_of_every_frame(problem):
    plan, weights, group, rng = problem
    shift = rng.normal(size=plan.frames)  # windows disagree by it
    x = rng.normal(size=(1, plan.frames, 2, 1, 1))

    def predict(x, time, conditions):
        first = conditions.low_resolution[:, :1]
        return Estimate(x + first, x)

    rows, values = [], []
    for start, weight in zip(plan.starts, np.sqrt(weights)):
        rows.append(weight[:, None] * np.eye(plan.frames)[start : start + plan.size])
        window = x[0, start : start + plan.size].reshape(plan.size, -1) + shift[start]
        values.append(weight[:, None] * window)
    expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)[0]
    low = np.broadcast_to(shift[None, :, None, None, None], x.shape)
    whole = windows(predict, plan, group=group, weights=weights)
    found = whole(jnp.float32(x), TIME[:1], Conditions(low_resolution=jnp.float32(low)))
    np.testing.assert_allclose(found.clean.reshape(expected.shape), expected, atol=3e-6)


def test_each_step_ends_in_the_vmapped_solve_that_consensus_runs(monkeypatch):
    solved = []

    def solve(total, weighted):
        solved.append((total.shape, weighted.shape))
        return 0 * weighted / total

    monkeypatch.setattr(windowed, "solve_frame", solve)
    clean = windows(denoise, PLAN)(X, TIME, CONDITIONS).clean
    np.testing.assert_array_equal(clean, jnp.zeros_like(X))
    assert solved[0] == ((), (2, 4, 6, 3))  # a frame of both clips


def test_a_frame_of_a_single_window_keeps_its_prediction_bit_for_bit():
    plan = plan_windows(21, 8, 3)
    weights = window_weights(plan, "gaussian")
    found = windows(denoise, plan, weights=weights)(X, TIME, CONDITIONS).clean
    first = denoise(cut(X, 0), TIME, Conditions(*(cut(each, 0) for each in CONDITIONS))).clean
    np.testing.assert_array_equal(found[:, :5], first[:, :5])
