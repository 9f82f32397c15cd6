import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import consensus, plan_tiles, plan_windows, window_weights
from lumiere_jax.diffusion.multidiffusion import normalized_weights

FOLDER = pathlib.Path(__file__).parents[1] / "golden/multidiffusion"
CASES = json.loads((FOLDER / "cases.json").read_text())["cases"]
PLANS = [(16, 8, 2), (17, 6, 2), (12, 6, 5), (10, 6, 0), (9, 9, 3), (80, 16, 2)]


def dense_least_squares(predictions, windows, weights):
    """Solve the least-squares problem of all frames together with a dense solver."""
    rows = len(windows) * windows.size
    matrix = np.zeros((rows, windows.frames))
    for i, start in enumerate(windows.starts):
        for j in range(windows.size):
            matrix[i * windows.size + j, start + j] = 1
    root = np.sqrt(weights).reshape(rows, 1)
    flat = predictions.reshape(rows, -1)
    solution = np.linalg.lstsq(root * matrix, root * flat, rcond=None)[0]
    return solution.reshape(windows.frames, *predictions.shape[2:])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_starts_and_merged_clips_are_the_golden_ones(case):
    data = np.load(FOLDER / "cases.npz")
    name = case["case"]
    windows = plan_windows(case["T"], case["window"], case["overlap"])
    assert list(windows.starts) == case["starts"]
    weights, merged = data[f"{name}/weights"], data[f"{name}/merged"]
    single = consensus(jnp.asarray(data[f"{name}/pred"]), windows, weights)
    np.testing.assert_allclose(single, merged, atol=1e-5)
    with jax.enable_x64(True):
        double = consensus(jnp.asarray(data[f"{name}/pred"], jnp.float64), windows, weights)
        np.testing.assert_allclose(double, merged, atol=1e-10)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", ["uniform", "ramp", "gaussian", "random"])
def test_the_consensus_is_the_dense_least_squares_solution(plan, kind):
    windows = plan_windows(*plan)
    rng = np.random.default_rng(sum(plan))
    predictions = rng.normal(size=(len(windows), windows.size, 2, 3))
    random = rng.uniform(0.1, 3, size=(len(windows), windows.size))
    weights = random if kind == "random" else window_weights(windows, kind)
    with jax.enable_x64(True):
        ours = consensus(jnp.asarray(predictions), windows, weights)
    np.testing.assert_allclose(ours, dense_least_squares(predictions, windows, weights), atol=1e-10)


def test_weights_may_be_traced():
    windows = plan_windows(10, 4, 1)
    predictions = jax.random.normal(jax.random.key(0), (len(windows), 4, 3))
    weights = window_weights(windows, "gaussian")
    traced = jax.jit(lambda p, w: consensus(p, windows, w))(predictions, jnp.asarray(weights))
    np.testing.assert_allclose(traced, consensus(predictions, windows, weights), atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_one_window_over_the_whole_clip_is_the_identity(dtype):
    windows = plan_windows(6, 6, 2)
    predictions = jax.random.normal(jax.random.key(0), (1, 6, 4)).astype(dtype)
    predictions = predictions.at[0, 0, 0].set(-0.0)
    merged = consensus(predictions, windows, window_weights(windows, "gaussian"))
    assert np.asarray(merged).tobytes() == np.asarray(predictions[0]).tobytes()


def test_merging_noise_then_stepping_is_stepping_then_merging():
    """Use that a DDIM step is linear: merging before and after it gives the same."""
    data = np.load(FOLDER / "cases.npz")
    x, noise = data["ddim/x"], data["ddim/eps"]
    alpha, to_alpha = float(data["ddim/alpha_t"]), float(data["ddim/alpha_prev"])
    windows = plan_windows(16, 8, 2)
    assert windows.starts == tuple(data["ddim/starts"])

    def step(x, noise):
        clean = (x - np.sqrt(1 - alpha) * noise) / np.sqrt(alpha)
        return np.sqrt(to_alpha) * clean + np.sqrt(1 - to_alpha) * noise

    segments = np.stack([x[start : start + 8] for start in windows.starts])
    with jax.enable_x64(True):
        merged_first = step(x, np.asarray(consensus(jnp.asarray(noise), windows)))
        stepped_first = consensus(jnp.asarray(step(segments, noise)), windows)
    np.testing.assert_allclose(merged_first, data["ddim/x_prev"], atol=1e-10)
    np.testing.assert_allclose(stepped_first, data["ddim/x_prev"], atol=1e-10)


def test_the_papers_geometry_has_whole_steps():
    assert [len(plan_windows(80, size, 2)) for size in (8, 15, 28, 41)] == [13, 6, 3, 2]


def test_ramps_cross_where_windows_meet_and_leave_the_ends_whole():
    weights = window_weights(plan_windows(10, 6, 2), "ramp")
    np.testing.assert_allclose(weights[0], [1, 1, 1, 1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(weights[1], [1 / 3, 2 / 3, 1, 1, 1, 1])


def test_normalized_weights_of_a_frame_sum_to_one():
    windows = plan_windows(17, 6, 2)
    weights = normalized_weights(windows, window_weights(windows, "gaussian"))
    total = np.zeros(17)
    for row, start in zip(weights, windows.starts):
        total[start : start + 6] += row
    np.testing.assert_allclose(total, 1, atol=1e-14)


def test_tiles_cover_both_sides():
    plan = plan_tiles(1080, 1920, 512, 64)
    assert (plan.rows.starts, plan.columns.starts) == ((0, 448, 568), (0, 448, 896, 1344, 1408))
    assert plan_tiles(64, 256, 128, 16).rows.starts == (0,)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ((8, 9, 2), "--window=9 does not fit a clip of 8; use --window=8"),
        ((8, 0, 0), "use --window=1"),
        ((8, 4, 4), "--overlap=4 .* less than --window=4; use --overlap=3"),
        ((8, 4, -1), "use --overlap=0"),
    ],
)
def test_impossible_windows_name_the_flag_and_a_value_that_works(plan, message):
    with pytest.raises(ValueError, match=message):
        plan_windows(*plan)


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes_say_what_was_needed():
    windows = plan_windows(8, 4, 2)
    with pytest.raises(ValueError, match=r"predictions are \(2, 4\).*need \(3, 4, ...\)"):
        consensus(jnp.zeros((2, 4)), windows)
    with pytest.raises(ValueError, match=r"weights are \(3, 5\).*need \(3, 4\)"):
        consensus(jnp.zeros((3, 4)), windows, np.ones((3, 5)))
    with pytest.raises(ValueError, match="those of frame 0 sum to 0"):
        consensus(jnp.zeros((3, 4)), windows, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="--window_weights='triangle'"):
        window_weights(windows, "triangle")
