import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import (
    Conditions,
    DiffusionConfig,
    Estimate,
    SamplerConfig,
    hold,
    sample,
)
from lumiere_jax.diffusion.samplers import SAMPLERS

CONFIG = DiffusionConfig()
SHAPE = (2, 3, 4, 4, 3)
OBSERVED = jax.random.uniform(jax.random.key(5), SHAPE, minval=-1)
MASK = jnp.zeros((*SHAPE[:-1], 1)).at[:, 0].set(1).at[:, :, :2].set(1)
CONDITIONS = Conditions(observed=OBSERVED * MASK, mask=MASK)


def shrink(x, time, conditions):
    alpha, sigma = CONFIG.levels(time, x)
    clean = 0.5 * alpha * x
    return Estimate(clean, (x - alpha * clean) / sigma)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_returns_observed_pixels_exactly(name):
    sampler = SamplerConfig(sampler=name, steps=5, eta=0.5 if name == "ddim" else 0)
    noise = jax.random.normal(jax.random.key(0), SHAPE)
    video = jax.jit(
        lambda noise: sample(
            hold(shrink, CONFIG), noise, CONDITIONS, CONFIG, sampler, key=jax.random.key(1)
        )
    )(noise)
    seen = np.broadcast_to(MASK, SHAPE) == 1
    np.testing.assert_array_equal(np.asarray(video)[seen], np.asarray(OBSERVED)[seen])
    assert np.isfinite(video).all()


def test_pixels_that_are_not_observed_are_left_alone():
    x, time = jax.random.normal(jax.random.key(0), SHAPE), jnp.full(2, 0.4)
    free, held = shrink(x, time, CONDITIONS), hold(shrink, CONFIG)(x, time, CONDITIONS)
    unseen = np.broadcast_to(MASK, SHAPE) == 0
    for one, other in zip(free[:2], held[:2]):
        np.testing.assert_array_equal(np.asarray(one)[unseen], np.asarray(other)[unseen])


def test_clean_and_noise_still_explain_x():
    x, time = jax.random.normal(jax.random.key(0), SHAPE), jnp.full(2, 0.4)
    held = hold(shrink, CONFIG)(x, time, CONDITIONS)
    alpha, sigma = CONFIG.levels(time, x)
    np.testing.assert_allclose(alpha * held.clean + sigma * held.noise, x, atol=1e-5)


def test_without_a_mask_nothing_is_held():
    x, time = jax.random.normal(jax.random.key(0), SHAPE), jnp.full(2, 0.4)
    for each in zip(shrink(x, time, None)[:2], hold(shrink, CONFIG)(x, time, Conditions())[:2]):
        np.testing.assert_array_equal(*each)
