import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import Conditions, Estimate, dynamic_threshold, threshold
from lumiere_jax.diffusion.thresholding import magnitude_quantile


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 0.95, 0.995, 1.0])
@pytest.mark.parametrize("shape", [(3, 7, 11, 5), (2, 1, 1, 4), (1, 1, 1, 1)])
def test_the_quantile_by_counting_is_that_by_sorting(quantile, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = np.quantile(np.abs(x).reshape(len(x), -1), quantile, axis=1)
    ours = magnitude_quantile(jnp.asarray(x), quantile)
    np.testing.assert_allclose(ours, expected, rtol=2e-7)


def test_repeated_and_tiny_values_count_right():
    x = np.array([[0, 0, 1e-40, 1e-30, 1, 1, 1, 2]], np.float32)
    for quantile in np.linspace(0, 1, 15):
        expected = np.quantile(x[0].astype(np.float64), quantile)
        assert float(magnitude_quantile(jnp.asarray(x), quantile)[0]) == pytest.approx(expected)


def test_no_sort_is_compiled():
    x = jax.ShapeDtypeStruct((2, 4, 8, 8, 3), jnp.float32)
    compiled = jax.jit(lambda x: dynamic_threshold(x, 0.995, 1.5)).lower(x).as_text()
    assert "sort" not in compiled


@pytest.mark.parametrize("quantile", ["0.95", "0.995"])
@pytest.mark.parametrize("ceiling", ["1.0", "1.5", "100.0"])
def test_dynamic_thresholding_is_that_of_diffusers(golden, quantile, ceiling):
    data = np.load(golden / "schedulers/misc.npz")
    ours = dynamic_threshold(jnp.asarray(data["thr_in"]), float(quantile), float(ceiling))
    np.testing.assert_allclose(ours, data[f"thr_{quantile}_{ceiling}"], atol=1e-6)


def test_only_the_clean_estimate_changes():
    raw = Estimate(jnp.full((1, 1, 1, 2, 1), 3.0), jnp.full((1, 1, 1, 2, 1), 5.0), jnp.ones(1))
    for kind in ("static", "dynamic"):
        answer = threshold(lambda *_: raw, kind, ceiling=1.5)(None, None, Conditions())
        assert float(jnp.abs(answer.clean).max()) <= (1.0 if kind == "static" else 2.0)
        assert answer.noise is raw.noise
        assert answer.variance is raw.variance


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="threshold='clip' is none of none, static, dynamic"):
        threshold(lambda *_: None, "clip")
