"""Samplers compared with closed forms, which exist for Gaussian data.

Data N(0, v) under any schedule: the best denoiser is clean = alpha v x / total with total =
alpha² v + sigma², and the probability flow keeps x / sqrt(total).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import (
    CLEAN,
    Conditions,
    DiffusionConfig,
    Estimate,
    Hooks,
    SamplerConfig,
    sample,
)
from lumiere_jax.diffusion.samplers import SAMPLERS

CONFIG = DiffusionConfig()
VARIANCE, MEAN = 0.25, 0.5
SHAPE = (4, 8, 16, 16, 3)


def gaussian(x, time, conditions):
    """Return the estimate of the optimal denoiser of N(MEAN, VARIANCE)."""
    alpha, sigma = CONFIG.levels(time, x)
    total = alpha**2 * VARIANCE + sigma**2
    clean = MEAN + alpha * VARIANCE / total * (x - alpha * MEAN)
    return Estimate(clean, sigma / total * (x - alpha * MEAN))


def run(sampler, noise=None, **options):
    noise = jax.random.normal(jax.random.key(0), SHAPE) if noise is None else noise
    options.setdefault("key", jax.random.key(1))
    return jax.jit(lambda noise: sample(gaussian, noise, Conditions(), CONFIG, sampler, **options))(
        noise
    )


@pytest.mark.parametrize(
    "sampler",
    [
        SamplerConfig(sampler="ddpm", steps=200),
        SamplerConfig(sampler="ddpm", steps=200, variance="large"),
        SamplerConfig(sampler="ddim", steps=100),
        SamplerConfig(sampler="ddim", steps=200, eta=1.0),
        SamplerConfig(sampler="euler", steps=100),
        SamplerConfig(sampler="heun", steps=50),
        SamplerConfig(sampler="dpm_solver", steps=50),
        SamplerConfig(sampler="dpm_solver_sde", steps=50),
    ],
    ids=lambda each: f"{each.sampler}-{each.variance}-{each.eta}",
)
def test_samples_of_gaussian_data_have_its_mean_and_variance(sampler):
    video = np.asarray(run(sampler), np.float64)
    count = video.size
    # Four standard errors of the Monte-Carlo mean and variance, and 2 % for the finite steps.
    assert abs(video.mean() - MEAN) < 4 * (VARIANCE / count) ** 0.5 + 0.005
    assert abs(video.var() - VARIANCE) < 4 * VARIANCE * (2 / count) ** 0.5 + 0.02 * VARIANCE


def flow(x, time, to):
    """Return x after the probability flow from `time` to `to`, in closed form."""
    (alpha, sigma), (to_alpha, to_sigma) = map(CONFIG.alpha_sigma, (time, to))
    scale = ((to_alpha**2 * VARIANCE + to_sigma**2) / (alpha**2 * VARIANCE + sigma**2)) ** 0.5
    return to_alpha * MEAN + scale * (x - alpha * MEAN)


@pytest.mark.parametrize(
    ("name", "order"), [("ddim", 1), ("euler", 1), ("heun", 2), ("dpm_solver", 2)]
)
def test_order_of_convergence(name, order):
    with jax.enable_x64(True):
        x = jnp.linspace(-2, 2, 5, dtype=jnp.float64).reshape(1, 5, 1, 1, 1)
        errors = []
        for steps in (32, 64, 128):
            ours = run(SamplerConfig(sampler=name), x, times=np.linspace(0.8, 0.1, steps + 1))
            errors.append(float(jnp.abs(ours - flow(x, 0.8, 0.1)).max()))
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(rates, order, atol=0.25)


@pytest.mark.parametrize("name", ["heun", "dpm_solver"])
def test_second_order_beats_first_all_the_way_to_the_clean_clip(name):
    with jax.enable_x64(True):
        x = jnp.linspace(-2, 2, 5, dtype=jnp.float64).reshape(1, 5, 1, 1, 1)
        times = np.append(np.linspace(0.8, 0, 26)[:-1], CLEAN)
        first, second = (
            float(
                jnp.abs(
                    run(SamplerConfig(sampler=each), x, times=times) - flow(x, 0.8, CLEAN)
                ).max()
            )
            for each in ("ddim", name)
        )
    assert second < first / 3


def test_a_jump_up_returns_to_that_levels_distribution():
    times = np.array([0.999, *np.arange(9, 2, -1) / 10, 0.6, 0.5, 0.4, 0.6])
    video = np.asarray(run(SamplerConfig(sampler="ddim"), times=times))
    alpha, sigma = CONFIG.alpha_sigma(0.6)
    assert video.mean() == pytest.approx(alpha * MEAN, abs=0.02)
    assert video.var() == pytest.approx(alpha**2 * VARIANCE + sigma**2, rel=0.05)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm_solver", "heun"])
def test_samples_with_jumps_still_have_the_datas_moments(name):
    sampler = SamplerConfig(sampler=name, steps=200, jump_length=40, jump_repeats=2)
    video = np.asarray(run(sampler))
    assert video.mean() == pytest.approx(MEAN, abs=0.02)
    assert video.var() == pytest.approx(VARIANCE, rel=0.06)


def test_the_same_key_gives_the_same_clip_and_another_another():
    sampler = SamplerConfig(sampler="ddpm", steps=3)
    noise = jax.random.normal(jax.random.key(0), (1, 2, 2, 2, 3))
    first, again = (run(sampler, noise, key=jax.random.key(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, run(sampler, noise, key=jax.random.key(8)))


def test_strength_to_zero_returns_the_source():
    source = jnp.linspace(-1, 1, 24).reshape(1, 2, 2, 2, 3)
    noise = jax.random.normal(jax.random.key(0), source.shape)
    distance = []
    for strength in (1e-6, 0.1, 0.5, 1.0):
        video = run(SamplerConfig(steps=50), noise, source=source, strength=strength)
        distance.append(float(jnp.abs(video - source).max()))
    assert distance[0] < 3e-3  # the smallest noise of the schedule is 6e-4
    assert distance == sorted(distance)
    assert distance[-1] > 0.5


@pytest.mark.parametrize(
    ("strength", "steps", "schedule"),
    [(1e-6, 5, "discrete_cosine"), (0.05, 1, "cosine"), (0.6, 4, "cosine"), (1.0, 2, "linear")],
)
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_an_edit_runs_its_steps_whatever_the_strength(name, strength, steps, schedule):
    config, seen = DiffusionConfig(schedule=schedule), []
    source, wanted = jnp.full((1, 1, 2, 2, 3), -0.5), 0.7

    def knows_the_answer(x, time, conditions):
        jax.debug.callback(lambda time: seen.append(float(time)), time[0])
        alpha, sigma = config.levels(time, x)
        clean = jnp.full_like(x, wanted)
        return Estimate(clean, (x - alpha * clean) / sigma)

    noise = jax.random.normal(jax.random.key(0), source.shape)
    sampler = SamplerConfig(sampler=name, steps=steps)
    options = {"key": jax.random.key(1), "source": source, "strength": strength}
    video = sample(knows_the_answer, noise, Conditions(), config, sampler, **options)
    jax.effects_barrier()
    np.testing.assert_allclose(video, wanted, atol=1e-4)
    assert len(seen) == (2 * steps - 1 if name == "heun" else steps)
    assert max(seen) <= strength + 1e-6


def test_bfloat16_noise_is_sampled_in_float32_and_time_never_leaves_it():
    seen = []

    def spy(x, time, conditions):
        seen.append((x.dtype, time.dtype, time.shape))
        return gaussian(x, time, conditions)

    noise = jnp.ones((2, 1, 1, 1, 3), jnp.bfloat16)
    video = sample(spy, noise, Conditions(), CONFIG, SamplerConfig(steps=2))
    assert video.dtype == jnp.float32
    assert set(seen) == {(jnp.dtype("float32"), jnp.dtype("float32"), (2,))}


def test_hooks_hear_every_step_and_see_some(tmp_path):
    steps, previews = [], []
    hooks = Hooks(
        progress=steps.append, preview=lambda i, clean: previews.append((i, clean.shape)), every=2
    )
    noise = jnp.ones((1, 2, 2, 2, 3))
    run(SamplerConfig(steps=5), noise, hooks=hooks).block_until_ready()
    jax.effects_barrier()
    assert sorted(steps) == [1, 2, 3, 4, 5]
    assert sorted(previews) == [(2, noise.shape), (4, noise.shape)]


def test_the_network_is_traced_once_however_many_steps():
    calls = []

    def spy(x, time, conditions):
        calls.append(1)
        return gaussian(x, time, conditions)

    sample(spy, jnp.ones((1, 1, 1, 1, 3)), Conditions(), CONFIG, SamplerConfig(steps=30))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        ({"sampler": "ddpm"}, {"key": None}, "sampler='ddpm' draws fresh noise; pass key="),
        ({}, {"strength": 0.5}, "strength=0.5 needs a source"),
        ({}, {"times": np.zeros((2, 3))}, "neither a list"),
        ({"sampler": "ddpm", "variance": "learned"}, {}, "use variance='small' or 'large'"),
    ],
)
def test_what_cannot_be_sampled_says_why(sampler, options, message):
    with pytest.raises(ValueError, match=message):
        run(SamplerConfig(steps=2, **sampler), jnp.ones((1, 1, 1, 1, 3)), **options)
