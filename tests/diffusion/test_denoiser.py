import jax
import jax.numpy as jnp
import numpy as np

from lumiere_jax.diffusion import (
    Conditions,
    DiffusionConfig,
    Estimate,
    SamplerConfig,
    compose,
    denoiser_from_network,
    guide,
    hold,
    plan_tiles,
    plan_windows,
    sample,
    threshold,
    window_weights,
    windows,
)
from lumiere_jax.text import Text

CONFIG = DiffusionConfig(prediction="noise")
X = jax.random.normal(jax.random.key(0), (1, 7, 6, 6, 3))
TIME = jnp.array([0.4])
NULL = Text(jnp.zeros((1, 2, 3)))
CONDITIONS = Conditions(
    text=Text(jnp.ones((1, 2, 3))),
    observed=0.1 * X,
    mask=jnp.zeros((1, 7, 6, 6, 1)).at[:, 0].set(1),
)


def predict(x, time, conditions):
    told = conditions.text.embedding.mean((1, 2)).reshape(-1, 1, 1, 1, 1)
    clean = jnp.cumsum(x, axis=1) * (1 + told)
    return Estimate(clean, clean - x, variance=clean + told)


def test_the_order_is_guide_windows_threshold_hold():
    sampler = SamplerConfig(guidance_scale=3.0, threshold="dynamic", quantile=0.9, ceiling=2.0)
    plan = plan_windows(7, 4, 2)
    weights = window_weights(plan, "ramp")
    composed = compose(
        predict, CONFIG, sampler, null=NULL, window_plan=plan, window_weights=weights, group=2
    )
    by_hand = windows(guide(predict, 3.0, NULL), plan, weights=weights)
    by_hand = hold(threshold(by_hand, "dynamic", quantile=0.9, ceiling=2.0), CONFIG)
    for ours, wanted in zip(composed(X, TIME, CONDITIONS), by_hand(X, TIME, CONDITIONS)):
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_the_threshold_sees_the_whole_clip_and_leaves_the_noise_raw():
    plan = plan_windows(7, 4, 2)
    plain = SamplerConfig(threshold="none")
    dynamic = SamplerConfig(threshold="dynamic", ceiling=3.0)
    free = Conditions(text=CONDITIONS.text)
    raw = compose(predict, CONFIG, plain, window_plan=plan)(X, TIME, free)
    done = compose(predict, CONFIG, dynamic, window_plan=plan)(X, TIME, free)
    inside = jnp.abs(done.clean) < 1
    ratio = jnp.where(inside, raw.clean / done.clean, 0)[inside]
    assert float(ratio.max() - ratio.min()) < 1e-4  # one scale for the clip
    assert float(ratio.max()) > 1.5
    np.testing.assert_array_equal(done.noise, raw.noise)
    np.testing.assert_array_equal(done.variance, raw.variance)


def test_everything_at_once_samples_a_clip():
    sampler = SamplerConfig(sampler="ddpm", steps=4, guidance_scale=2.0, variance="learned")
    denoise = compose(
        lambda *asked: jax.tree.map(jnp.tanh, predict(*asked)),
        CONFIG,
        sampler,
        null=NULL,
        window_plan=plan_windows(7, 4, 1),
        tile_plan=plan_tiles(6, 6, 4, 1),
        group=2,
    )
    video = jax.jit(
        lambda x: sample(denoise, x, CONDITIONS, CONFIG, sampler, key=jax.random.key(1))
    )(X)
    np.testing.assert_array_equal(video[:, 0], 0.1 * X[:, 0])
    assert float(jnp.abs(video).max()) <= 1


def test_memory_of_a_longer_clip_grows_by_four_clips():
    """Allow the noise, the low-resolution clip, and the sums of the clean and noise estimates."""

    def wide(params, x, time, text, low_resolution):
        hidden = jnp.sin((x + low_resolution)[..., None, :] * jnp.arange(1.0, 33)[:, None])
        return jnp.cumsum(hidden, 1).mean(-2)

    sampler = SamplerConfig(sampler="ddim", steps=3, threshold="dynamic")

    def total(frames):
        predict = denoiser_from_network(wide, None, CONFIG)
        plan = plan_windows(frames, 8, 2)
        denoise = compose(predict, CONFIG, sampler, window_plan=plan)
        clip = jax.ShapeDtypeStruct((1, frames, 16, 16, 3), jnp.float32)

        def run(noise, low):
            return sample(denoise, noise, Conditions(low_resolution=low), CONFIG, sampler)

        memory = jax.jit(run, donate_argnums=0).lower(clip, clip).compile().memory_analysis()
        held = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        return held + memory.output_size_in_bytes - memory.alias_size_in_bytes

    assert total(80) - total(20) <= 4.1 * 60 * 16 * 16 * 3 * 4
