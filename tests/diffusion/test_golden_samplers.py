"""Step-by-step parity with diffusers' schedulers and DeepFloyd IF's sampler.

The runs use a closed-form stand-in for the network, so that only the sampler is compared.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import (
    Conditions,
    DiffusionConfig,
    SamplerConfig,
    denoiser_from_network,
    sample,
    threshold,
)

FOLDER = pathlib.Path(__file__).parents[1] / "golden"
SCHEDULES = {"squaredcos_cap_v2": "discrete_cosine", "scaled_linear": "discrete_scaled_linear"}
PREDICTIONS = {"epsilon": "noise", "v_prediction": "velocity"}
# Noise prediction at t near 999 divides by sqrt(2.4e-9): five times the peers' own float32 error.
LOOSE = {
    "ddpm_linspace_N25": 5e-4,
    "ddpm_if_custom_timesteps": 5e-3,
    "dpmpp2m_noclip_linspace_N25": 2e-3,
}


def closed_form(variance, prediction, learned):
    """Return the network of the golden README, in any precision; frames are a dummy axis."""

    def apply(params, x, time, text):
        u = time.reshape((-1, 1, 1, 1, 1))
        c, s = jnp.cos(jnp.pi * u / 2), jnp.sin(jnp.pi * u / 2)
        total = variance * c**2 + s**2
        if prediction == "noise":
            out = s / total * x + 0.05 * c * jnp.sin(3 * x)
        else:
            out = c * s * (1 - variance) / total * x + 0.05 * jnp.sin(3 * x)
        return jnp.concatenate([out, jnp.tanh(0.7 * x + u)], -1) if learned else out

    return apply


def clip(array):
    """Transpose [n, c, h, w], the axes of the reference packages, to [n, 1, h, w, c]."""
    return jnp.asarray(np.moveaxis(array, 1, -1)[:, None], jnp.float64)


def ours(run):
    """Return (config, sampler) of a golden run."""
    settings = run["config"]
    config = DiffusionConfig(
        schedule=SCHEDULES[settings["beta_schedule"]],
        prediction=PREDICTIONS[run["prediction_type"]],
        zero_terminal_snr=settings["rescale_betas_zero_snr"],
        learned_variance=run["learned_range"],
    )
    kind = "static" if settings.get("clip_sample") else "none"
    name = {"DDPMScheduler": "ddpm", "DDIMScheduler": "ddim"}.get(run["scheduler"], "dpm_solver")
    if settings.get("algorithm_type", "").startswith("sde"):
        name = "dpm_solver_sde"
    if run["use_clipped_model_output"]:
        name = "euler"  # DDIM whose noise follows from the clipped estimate
    variance = (settings.get("variance_type") or "fixed_small").replace("learned_range", "learned")
    return config, SamplerConfig(
        sampler=name,
        eta=run["eta"] or 0.0,
        variance=variance.removeprefix("fixed_"),
        threshold="dynamic" if settings["thresholding"] else kind,
        quantile=settings["dynamic_thresholding_ratio"],
        ceiling=settings["sample_max_value"],
    )


def wanted(run):
    known = ("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler")
    settings = run["config"]
    other = settings.get("use_karras_sigmas") or settings.get("solver_type") == "heun"
    return run["scheduler"] in known and not other


RUNS = {
    run["name"]: run for run in json.loads((FOLDER / "schedulers/runs.json").read_text())["runs"]
}


def full_chain(denoise, config, sampler, times, x, noise):
    """Return all states of one run: the inputs of the denoiser, and the sample."""
    seen = []

    def spy(x, time, conditions):
        jax.debug.callback(lambda state: seen.append(np.asarray(state)), x, ordered=True)
        return denoise(x, time, conditions)

    def noise_at(step):
        return lambda frame: noise[step][:, frame]

    last = sample(spy, x, Conditions(), config, sampler, times=times, noise_at=noise_at)
    jax.effects_barrier()
    return np.stack([*seen, np.asarray(last)])


@pytest.mark.parametrize("name", [name for name, run in RUNS.items() if wanted(run)])
def test_trajectory_is_that_of_diffusers(name):
    run = RUNS[name]
    data = np.load(FOLDER / "schedulers/trajectories.npz")
    config, sampler = ours(run)
    with jax.enable_x64(True):
        apply = closed_form(run["model_V"], config.prediction, run["learned_range"])
        denoise = threshold(
            denoiser_from_network(apply, None, config),
            sampler.threshold,
            quantile=sampler.quantile,
            ceiling=sampler.ceiling,
        )
        last = 0.0 if run["config"].get("set_alpha_to_one") is False else -0.001
        times = np.append(data[f"{name}/timesteps"] / 1000, last)
        noise = jnp.stack([clip(field) for field in data["noise"]])
        states = full_chain(denoise, config, sampler, times, clip(data["x_T"]), noise)
    expected = np.moveaxis(data[f"{name}/x"], 2, -1)[:, :, None]
    tolerance = LOOSE.get(name, 2e-5)
    np.testing.assert_allclose(states, expected, atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize("name", ["fast27", "smart50"])
def test_trajectory_is_that_of_deepfloyd(name):
    data = np.load(FOLDER / "if_original/sampler.npz")
    quantile, ceiling = map(float, data[f"{name}/p_c"])
    config = DiffusionConfig(schedule="discrete_cosine", prediction="noise", learned_variance=True)
    sampler = SamplerConfig(sampler="ddpm", variance="learned", spacing=name)
    expected = np.moveaxis(data[f"{name}/x"], 2, -1)[:, :, None]
    with jax.enable_x64(True):
        network = denoiser_from_network(closed_form(2.25, "noise", True), None, config)
        denoise = threshold(network, "dynamic", quantile=quantile, ceiling=ceiling)
        noise = jnp.stack([clip(field) for field in data["noise"]])
        times = sampler.times()
        # The reference's first step divides by 5e-5 in float32: the others start from its result.
        first = full_chain(denoise, config, sampler, times[:2], clip(data["x_T"]), noise)
        start = jnp.asarray(expected[1], jnp.float64)
        rest = full_chain(denoise, config, sampler, times[1:], start, noise[1:])
    np.testing.assert_allclose(first, expected[:2], atol=2e-3)
    np.testing.assert_allclose(rest, expected[1:], atol=1e-4)


EULER = ["euler_cos_leading_N10", "euler_scaled_linear_N10"]


@pytest.mark.parametrize("name", EULER)
def test_euler_is_that_of_diffusers_in_its_own_scale(name):
    run = RUNS[name]
    data = np.load(FOLDER / "schedulers/trajectories.npz")
    config = DiffusionConfig(schedule=SCHEDULES[run["config"]["beta_schedule"]], prediction="noise")
    times = np.append(data[f"{name}/timesteps"] / 1000, -0.001)
    alpha = config.alpha_sigma(times)[0].reshape((-1, 1, 1, 1, 1, 1))
    expected = np.moveaxis(data[f"{name}/x"], 2, -1)[:, :, None]
    with jax.enable_x64(True):
        denoise = denoiser_from_network(closed_form(run["model_V"], "noise", False), None, config)
        start = jnp.asarray(expected[0] * alpha[0], jnp.float64)
        sampler = SamplerConfig(sampler="euler")
        states = full_chain(denoise, config, sampler, times, start, None)
    np.testing.assert_allclose(states, expected * alpha, atol=2e-5, rtol=1e-5)
