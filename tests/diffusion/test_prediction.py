import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import Conditions, DiffusionConfig, denoiser_from_network
from lumiere_jax.diffusion.config import PREDICTIONS
from lumiere_jax.diffusion.prediction import from_estimate, target, to_estimate


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_a_perfect_network_gives_back_the_clip_and_its_noise(kind):
    rng = np.random.default_rng(0)
    clean, noise = rng.normal(size=(2, 4, 5))
    alpha, sigma = 0.6, 0.8
    emitted = target(kind, clean, noise, alpha, sigma)
    estimate = to_estimate(kind, emitted, alpha * clean + sigma * noise, alpha, sigma)
    np.testing.assert_allclose(estimate.clean, clean, atol=1e-14)
    np.testing.assert_allclose(estimate.noise, noise, atol=1e-14)
    np.testing.assert_allclose(from_estimate(kind, estimate, alpha, sigma), emitted, atol=1e-14)


def test_velocity_is_that_of_diffusers(golden):
    data = np.load(golden / "schedulers/misc.npz")
    alpha, sigma = DiffusionConfig(schedule="discrete_cosine").levels(
        jnp.asarray(data["add_noise_t"] / 1000), data["add_noise_x0"]
    )
    ours = target("velocity", data["add_noise_x0"], data["add_noise_noise"], alpha, sigma)
    np.testing.assert_allclose(ours, data["get_velocity_out"], atol=1e-5)


def test_twice_the_channels_are_noise_and_variance():
    def apply(params, x, time, text):
        return jnp.concatenate([x, 7 * x], axis=-1)

    x = jnp.ones((1, 2, 2, 2, 3))
    config = DiffusionConfig(prediction="noise")
    estimate = denoiser_from_network(apply, None, config)(x, jnp.array([0.5]), Conditions())
    np.testing.assert_array_equal(estimate.noise, x)
    np.testing.assert_array_equal(estimate.variance, 7 * x)


def test_a_network_of_other_channels_is_an_error_that_says_how_many():
    denoise = denoiser_from_network(lambda p, x, t, text: x[..., :2], None, DiffusionConfig())
    with pytest.raises(ValueError, match=r"predicts 2 channels.*out_channels to 3, or 6"):
        denoise(jnp.ones((1, 2, 2, 2, 3)), jnp.array([0.5]), Conditions())


@pytest.mark.parametrize("observe", [True, False])
def test_only_conditions_that_are_there_reach_the_network(observe):
    seen = {}

    def apply(params, x, time, text, **conditions):
        seen.update(conditions)
        return x

    clip = jnp.ones((1, 2, 2, 2, 3))
    conditions = Conditions(low_resolution=clip, observed=clip, mask=clip[..., :1])
    denoise = denoiser_from_network(apply, None, DiffusionConfig(), observe=observe)
    denoise(clip, jnp.array([0.5]), conditions)
    expected = {"low_resolution", "observed", "mask"} if observe else {"low_resolution"}
    assert set(seen) == expected
