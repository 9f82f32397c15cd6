import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lumiere_jax.diffusion import (
    Conditions,
    DiffusionConfig,
    diffusion_loss,
    loss_weight,
    stratified_times,
)
from lumiere_jax.diffusion.variance import log_likelihood_of_pixels, variational_bound

CLIP = (8, 2, 3, 3, 3)


def test_times_are_one_in_each_part_of_the_range():
    time = np.sort(stratified_times(jax.random.key(3), 8, DiffusionConfig()))
    np.testing.assert_array_equal(np.floor(time * 8), np.arange(8))


def test_discrete_times_are_timesteps():
    config = DiffusionConfig(schedule="discrete_cosine")
    time = stratified_times(jax.random.key(3), 2000, config)
    steps = np.asarray(time) * 1000
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert np.rint(steps).min() == 0
    assert np.rint(steps).max() == 999


@pytest.mark.parametrize("prediction", ["noise", "velocity", "clean"])
def test_min_snr_counts_the_clean_clips_error_up_to_gamma(prediction):
    config = DiffusionConfig(prediction=prediction, weighting="min_snr", min_snr_gamma=5.0)
    time = np.array([0.01, 0.2, 0.5, 0.9])
    snr = np.exp(config.log_snr(time))
    squared_error_of_clean = {"noise": 1 / snr, "velocity": 1 / (1 + snr), "clean": 1.0}
    expected = np.minimum(snr, 5) * squared_error_of_clean[prediction]
    np.testing.assert_allclose(loss_weight(jnp.asarray(time), config), expected, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["velocity", "clean"])
def test_a_floor_of_one_counts_the_velocitys_error_whatever_is_predicted(prediction):
    """Use |v - v'|² = (SNR + 1) |clean - clean'|², clipped at gamma |clean - clean'|²."""
    config = DiffusionConfig(
        prediction=prediction, weighting="min_snr", min_snr_gamma=10.0, snr_floor=1.0
    )
    time = np.array([0.01, 0.2, 0.5, 0.9, 1.0])
    snr = np.exp(config.log_snr(time))
    squared_error_of_clean = {"velocity": 1 / (1 + snr), "clean": 1.0}
    expected = np.minimum(snr + 1, 10) * squared_error_of_clean[prediction]
    np.testing.assert_allclose(loss_weight(jnp.asarray(time), config), expected, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["velocity", "clean"])
def test_a_floor_keeps_weight_where_no_signal_is_left(prediction):
    floor = DiffusionConfig(
        prediction=prediction, weighting="min_snr", min_snr_gamma=2.0, snr_floor=0.1
    )
    time = np.array([0.01, 0.2, 0.5, 0.9, 1.0])
    snr = np.exp(floor.log_snr(time))
    squared_error_of_clean = {"velocity": 1 / (1 + snr), "clean": 1.0}
    expected = np.minimum(snr + 0.1, 2) * squared_error_of_clean[prediction]
    np.testing.assert_allclose(loss_weight(jnp.asarray(time), floor), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "settings", [{"weighting": "plain"}, {"weighting": "min_snr", "prediction": "noise"}]
)
def test_a_floor_without_effect_is_refused(settings):
    message = r"snr_floor=0.1 needs weighting='min_snr' and prediction='clean' or 'velocity'"
    with pytest.raises(ValueError, match=message):
        DiffusionConfig(**settings, snr_floor=0.1)


def test_the_weighting_velocity_does_not_exist():
    with pytest.raises(ValueError, match="weighting='velocity' is none of plain, min_snr"):
        DiffusionConfig(weighting="velocity")


def test_a_network_that_predicts_zero_has_the_loss_of_the_noise():
    config = DiffusionConfig(prediction="noise")
    clean = jnp.zeros(CLIP)
    loss, metrics = diffusion_loss(
        lambda p, x, t, text: 0 * x, None, clean, Conditions(), jax.random.key(0), config
    )
    assert loss == metrics["loss"] == metrics["mse"]
    assert float(loss) == pytest.approx(1, abs=0.1)


def test_a_perfect_network_has_no_loss():
    config = DiffusionConfig(prediction="noise", weighting="min_snr")

    def apply(params, x, time, text):  # the clip is 0.5 everywhere
        alpha, sigma = config.levels(time, x)
        return (x - alpha * 0.5) / sigma

    loss, _ = diffusion_loss(
        apply, None, jnp.full(CLIP, 0.5), Conditions(), jax.random.key(0), config
    )
    assert float(loss) < 1e-6


def test_examples_that_are_not_valid_do_not_count():
    config = DiffusionConfig()
    clean = jax.random.normal(jax.random.key(1), CLIP)

    def loss(clean, valid):
        return diffusion_loss(
            lambda p, x, t, text: 0.3 * x,
            None,
            clean,
            Conditions(),
            jax.random.key(0),
            config,
            valid=valid,
        )[0]

    valid = jnp.arange(8) != 5
    assert loss(clean, valid) == loss(clean.at[5].set(100.0), valid)
    assert loss(clean, valid) != loss(clean, None)
    assert loss(clean, jnp.zeros(8, bool)) == 0


def test_computed_in_float32_even_for_a_bfloat16_network():
    def apply(params, x, time, text):
        return (0.5 * x).astype(jnp.bfloat16)

    loss, _ = diffusion_loss(
        apply,
        None,
        jnp.ones(CLIP, jnp.bfloat16),
        Conditions(),
        jax.random.key(0),
        DiffusionConfig(),
    )
    assert loss.dtype == jnp.float32


HYBRID = DiffusionConfig(schedule="discrete_cosine", prediction="noise", learned_variance=True)


def test_the_bound_is_the_divergence_of_two_gaussians():
    """Compare with moments of q and p computed from the betas, in float64."""
    step, fraction = 300, 0.2
    alpha = np.sqrt(np.cos((np.arange(1, 1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2)
    alpha /= np.cos(0.008 / 1.008 * np.pi / 2)
    product, before = alpha[step] ** 2, alpha[step - 1] ** 2
    beta = 1 - product / before
    smallest = beta * (1 - before) / (1 - product)
    variance = np.exp((fraction + 1) / 2 * np.log(beta) + (1 - fraction) / 2 * np.log(smallest))
    clean, estimate = 0.3, 0.1
    difference = np.sqrt(before) * beta / (1 - product) * (clean - estimate)
    divergence = 0.5 * (
        np.log(variance / smallest) - 1 + smallest / variance + difference**2 / variance
    )
    shape = (1, 1, 1, 1, 1)
    with jax.enable_x64(True):
        ours = jax.jit(variational_bound, static_argnums=5)(
            jnp.full(shape, clean),
            jnp.full(shape, 0.7),
            jnp.full(shape, estimate),
            jnp.full(shape, fraction),
            jnp.array([step / 1000]),
            HYBRID,
        )
    assert float(ours[0]) == pytest.approx(divergence / np.log(2), rel=1e-9)


@pytest.mark.parametrize("mean", [-0.9, 0.0, 0.4])
def test_pixel_values_share_all_the_probability(mean):
    pixels = np.arange(256) / 127.5 - 1
    with jax.enable_x64(True):
        ours = np.asarray(
            log_likelihood_of_pixels(
                *map(jnp.asarray, (pixels, np.full(256, mean), np.full(256, np.log(0.05))))
            )
        )
    assert np.exp(ours).sum() == pytest.approx(1, abs=1e-9)
    middle = stats.norm(mean, 0.05).cdf(pixels + 1 / 255) - stats.norm(mean, 0.05).cdf(
        pixels - 1 / 255
    )
    np.testing.assert_allclose(np.exp(ours)[1:-1], middle[1:-1], atol=1e-11)


def test_the_bound_trains_the_variance_and_not_the_mean():
    def apply(params, x, time, text):
        return jnp.concatenate([params["mean"] * x, params["variance"] + 0 * x], axis=-1)

    clean = jax.random.uniform(jax.random.key(1), CLIP, minval=-1)

    def total(params, config=HYBRID):
        return diffusion_loss(apply, params, clean, Conditions(), jax.random.key(0), config)[0]

    params = {"mean": jnp.float32(0.4), "variance": jnp.float32(0.1)}
    with_bound = jax.jit(jax.grad(total))(params)
    plain = DiffusionConfig(schedule="discrete_cosine", prediction="noise")
    without = jax.jit(jax.grad(lambda p: total(p, plain)))(params)
    np.testing.assert_allclose(with_bound["mean"], without["mean"], rtol=1e-6)
    assert without["variance"] == 0
    assert np.isfinite(with_bound["variance"])
    assert with_bound["variance"] != 0


def test_learned_variance_needs_the_channels():
    with pytest.raises(ValueError, match="out_channels to 6, or learned_variance=False"):
        diffusion_loss(
            lambda p, x, t, text: x, None, jnp.ones(CLIP), Conditions(), jax.random.key(0), HYBRID
        )
