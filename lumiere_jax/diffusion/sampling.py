"""Sampling: run a denoiser from noise to a clean clip, in one `lax.scan`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.estimate import Conditions, Denoise
from lumiere_jax.diffusion.frames import Clip, frame, rewrite
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.diffusion.samplers import (
    SAMPLERS,
    StepCoefficients,
    StepNoise,
    apply_renoise,
    apply_step,
    renoise,
    step_levels,
)
from lumiere_jax.diffusion.times import from_strength


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hooks:
    """Callbacks on the host while the sampler runs, also under jit; not necessarily in order.

    Attributes:
      progress: function of the number of the finished step, from 1.
      preview: function of that number and the clean estimate, called every `every` steps. It must
        not wait for the array where several devices run the program: they wait for each other.
      every: steps between previews; each copies a whole clip to the host.
      only: function that returns True on the device that is to call; all of them when None.
      gather: function of the clean estimate that returns that of all devices' clips, for `preview`;
        None for this device's.
    """

    progress: Callable[[int], None] | None = None
    preview: Callable[[int, Array], None] | None = None
    every: int = 10
    only: Callable[[], Array] | None = None
    gather: Callable[[Clip], Clip] | None = None


def sample(
    denoise: Denoise,
    noise: Clip,
    conditions: Conditions,
    config: DiffusionConfig,
    sampler: SamplerConfig | None = None,
    *,
    key: PRNGKeyArray | None = None,
    times: Float[np.ndarray, "n ..."] | None = None,
    source: Clip | None = None,
    strength: float = 1.0,
    noise_at: StepNoise | None = None,
    hooks: Hooks | None = None,
) -> Clip:
    """Sample clean clips from noise; traceable.

    Args:
      denoise: denoiser, guided, windowed, thresholded and held as requested; see `compose`.
      noise: standard normal array of the shape of the clips.
      conditions: conditions of the denoiser, the same at every step.
      config: schedule.
      sampler: sampler and times; its guidance and thresholding belong to `compose`.
      key: random key of the fresh noise, one field per step for all clips; unused by a
        deterministic sampler.
      times: times to visit instead of the sampler's: a list that may rise, or pairs (from, to).
        CLEAN is below 0.
      source: source video to start from, noised to `strength` (SDEdit); the steps are spread below.
      strength: noise level of the start, in (0, 1], see `times.from_strength`.
      noise_at: fresh noise of step i, instead of `key`: noise_at(i)(frame) is [b, h, w, c].
      hooks: callbacks.

    Returns:
      The clip, in float32 (float64 if the noise is).

    Raises:
      ValueError: a stochastic sampler without a key, `strength` without a source or out of range,
        times that are neither a list nor pairs.
    """
    sampler = sampler or SamplerConfig()
    x = noise.astype(jnp.promote_types(noise.dtype, jnp.float32))
    times = sampler.times() if times is None else np.asarray(times, np.float64)
    if source is not None:
        times = from_strength(times, strength)
    elif strength != 1:
        raise ValueError(f"strength={strength} needs a source to start from; or set strength=1")
    steps = _pairs(times)
    if source is not None:
        source = source.astype(x.dtype)
        x = config.add_noise(source, x, jnp.full(x.shape[:1], steps[0, 0], x.dtype))

    table, rises = _coefficients(config, sampler, steps)
    if table.fresh is not None and noise_at is None:
        if key is None:
            raise ValueError(f"sampler={sampler.sampler!r} draws fresh noise; pass key=")
        noise_at = _fields(key, x)
    rows = _rows(steps, table, rises, x.dtype)
    step = _step(denoise, conditions, sampler, noise_at, hooks or Hooks(), bool(rises.any()))
    previous = None if table.previous is None else jnp.zeros_like(x)
    return jax.lax.scan(step, (x, previous), rows)[0][0]


def _pairs(times: np.ndarray) -> Float[np.ndarray, "n 2"]:
    if times.ndim == 1:
        return np.stack([times[:-1], times[1:]], axis=1)
    if times.ndim == 2 and times.shape[1] == 2:
        return times
    raise ValueError(f"times of shape {times.shape} are neither a list [n] nor pairs [n, 2]")


def _fields(key: PRNGKeyArray, x: Clip) -> StepNoise:
    def noise_at(step):
        field = jax.random.normal(jax.random.fold_in(key, step), x.shape, x.dtype)
        return functools.partial(frame, field)

    return noise_at


def _coefficients(
    config: DiffusionConfig, sampler: SamplerConfig, steps: np.ndarray
) -> tuple[StepCoefficients, np.ndarray]:
    """Return the sampler's table with rising rows replaced by renoising, and the rising rows.

    Terms that never occur are None.
    """
    options: dict[str, dict[str, Any]] = {
        "ddim": {"eta": sampler.eta},
        "ddpm": {"variance": sampler.variance},
    }
    levels = step_levels(config, steps)
    rises = steps[:, 1] > steps[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):  # rising rows, replaced below
        falling = SAMPLERS[sampler.sampler](levels, **options.get(sampler.sampler, {}))
        rising = renoise(levels)
    merged: dict[str, Any] = {}
    for field in ("x", "clean", "noise", "previous", "fresh"):
        down, up = (getattr(each, field) for each in (falling, rising))
        nothing = np.zeros(len(steps))
        down, up = (nothing if each is None else each for each in (down, up))
        column = np.where(rises, up, down)
        merged[field] = column if column.any() else None
    return StepCoefficients(**merged, log_variance=falling.log_variance), rises


def _rows(
    steps: np.ndarray, coefficients: StepCoefficients, rises: np.ndarray, dtype: Any
) -> dict[str, Any]:
    """Return the arrays that the scan runs over: a row per step."""
    table = {name: value for name, value in vars(coefficients).items() if value is not None}
    return {
        "index": jnp.arange(len(steps)),
        "rises": jnp.asarray(rises),
        "time": jnp.asarray(steps[:, 0], dtype),
        "to": jnp.asarray(steps[:, 1], dtype),
        **jax.tree.map(lambda column: jnp.asarray(column, dtype), table),
    }


def _step(
    denoise: Denoise,
    conditions: Conditions,
    sampler: SamplerConfig,
    noise_at: StepNoise | None,
    hooks: Hooks,
    any_rise: bool,
) -> Callable[..., Any]:
    """Return the body of the scan: (x, previous clean estimate), row -> both at the next time."""

    def fall(x, previous, row):
        estimate = denoise(x, _times(row["time"], x), conditions)
        chex.assert_equal_shape([x, estimate.clean, estimate.noise])
        moved, kept = apply_step(row, x, estimate, previous, noise_at)
        if sampler.sampler == "heun":
            moved = _heun_correction(denoise, conditions, x, moved, estimate.clean, row)
        _call(hooks, row["index"] + 1, estimate.clean)
        return moved, kept

    def rise(x, previous, row):
        return apply_renoise(row, x, noise_at), previous

    def step(carry, row):
        if not any_rise:
            return fall(*carry, row), None
        return jax.lax.cond(row["rises"], rise, fall, *carry, row), None

    return step


def _times(time: Array, x: Clip) -> Float[Array, " b"]:
    return jnp.full(x.shape[:1], time, x.dtype)


def _heun_correction(denoise, conditions, x: Clip, moved: Clip, clean: Clip, row: dict) -> Clip:
    """Repeat a step with the mean of the clean estimates at its two ends (Heun's method).

    It is a trapezoid in alpha / sigma, along which x / sigma moves at the rate `clean`. It is
    finite at both ends of the schedule, as Karras et al.'s sigma / alpha (arXiv 2206.00364) is not
    where alpha is 0.
    """

    def correct(moved):
        there = denoise(moved, _times(row["to"], x), conditions).clean
        if "x" not in row:
            return there

        def change(x, estimates, _):
            return row["x"] * x + row["clean"] * 0.5 * sum(estimates)

        return rewrite(change, x, (clean, there))

    return jax.lax.cond(row["to"] < 0, lambda moved: moved, correct, moved)


def _call(hooks: Hooks, number: Array, clean: Clip) -> None:
    if hooks.progress is not None:
        _on_host(hooks, lambda i: hooks.progress(int(i)), number)
    if hooks.preview is not None:

        def show(number, clean):
            clean = clean if hooks.gather is None else hooks.gather(clean)
            _on_host(hooks, lambda i, c: hooks.preview(int(i), c), number, clean)

        jax.lax.cond(number % hooks.every == 0, show, lambda *_: None, number, clean)


def _on_host(hooks: Hooks, function: Callable[..., None], *values: Array) -> None:
    """Call a function on the host, from one device of those that run the program."""

    def call(*values):
        jax.debug.callback(function, *values)

    if hooks.only is None:
        call(*values)
    else:
        jax.lax.cond(hooks.only(), call, lambda *_: None, *values)
