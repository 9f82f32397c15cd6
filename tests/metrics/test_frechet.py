import json
from pathlib import Path

import numpy as np
import pytest

from lumiere_jax.metrics import frechet_distance

GOLDEN = Path(__file__).parents[1] / "golden" / "i3d_fvd"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "i3d.npz"), json.loads((GOLDEN / "fvd.json").read_text())["fvd"]


def test_more_rows_than_features_agree_with_the_stored_value(golden):
    arrays, values = golden
    expected = values["gauss_600x8_vs_500x8"]["nuclear_norm_float64"]
    assert frechet_distance(arrays["gauss_a"], arrays["gauss_b"]) == pytest.approx(
        expected, rel=1e-9
    )


def test_fewer_rows_than_features_agree_with_the_stored_value(golden):
    arrays, values = golden
    expected = values["two_sets_of_12"]["nuclear_norm_float64"]
    distance = frechet_distance(arrays["fvd_set_a_logits"], arrays["fvd_set_b_logits"])
    assert distance == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("frames", [10, 16, 30])
def test_constant_clips_are_as_far_apart_as_published(golden, frames):
    # Equal rows have no spread: the distance is that of the means.
    arrays, values = golden
    zero, one = (arrays[f"const_{name}_logits_T{frames}"] for name in ("zero", "one"))
    distance = frechet_distance(np.stack([zero] * 3), np.stack([one] * 3))
    assert distance == pytest.approx(values[f"all_zero_vs_all_one_T{frames}"], abs=1e-3)


def test_two_gaussians_along_one_axis_have_the_textbook_distance():
    # (μ₁ − μ₂)² + (σ₁ − σ₂)², with variances divided by N − 1.
    first, second = np.array([[-1.0], [1.0]]), np.array([[2.0], [8.0]])
    expected = 25 + (np.sqrt(2) - np.sqrt(18)) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_a_set_is_at_no_distance_from_itself_and_never_below():
    features = np.random.default_rng(0).normal(size=(20, 50))
    assert 0 <= frechet_distance(features, features) < 1e-5


@pytest.mark.usefixtures("unchecked")
def test_wrong_features_are_refused():
    with pytest.raises(ValueError, match="expected"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="two of each"):
        frechet_distance(np.zeros((1, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(np.full((4, 3), np.nan), np.zeros((4, 3)))
