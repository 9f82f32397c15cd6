r"""Speed and memory of a stage on this machine: data, training step, sampling.

    python -m benchmarks.speed --config=configs/demo.py:base
    python -m benchmarks.speed --config=configs/bench.py:base --parts=step,forward

Prints a line per number. FLOPs are counted from the jaxpr (matrix products and convolutions,
without rematerialisation); every timed call ends with a synchronisation, and the median is printed.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from lumiere_jax.one_line_errors import run

CONFIG = flags.DEFINE_string("config", "configs/demo.py:base", "Configuration to measure.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs of each part; the median is printed.", 1)
PARTS = flags.DEFINE_list("parts", "data,step,forward,sample", "What to measure.")
BATCH = flags.DEFINE_integer("batch", None, "Batch size, instead of the configuration's.", 1)
STEPS = flags.DEFINE_integer("sampler_steps", 4, "Denoising steps that are timed.", 1)


def main(_: list[str]) -> None:
    """Measure the parts that --parts names, and print a line per number."""
    from lumiere_jax.parallel import use_compilation_cache
    from lumiere_jax.training.command_line import load_config, to_experiment

    use_compilation_cache()
    config = load_config(CONFIG.value)
    if BATCH.value:
        config.data.batch_size = BATCH.value
    experiment = to_experiment(config)
    device = jax.devices()[0]
    print(f"{CONFIG.value} on {len(jax.devices())} × {device.device_kind}, jax {jax.__version__}")
    parts = {"data": data, "step": training_step, "forward": forward, "sample": sampling}
    for name in PARTS.value:
        if name not in parts:
            sys.exit(f"error: --parts={name} is none of {', '.join(parts)}")
        for label, value in parts[name](experiment).items():
            print(f"  {name:8} {label:34} {value:12.5g}", flush=True)
    print(f"  memory   {'largest of the process, GiB':34} {peak_memory():12.5g}")


def data(experiment) -> dict[str, float]:
    """Measure the clips per second that the input pipeline delivers, without the device."""
    from lumiere_jax.input_pipeline import make_pipeline

    batch = experiment.data.batch_size
    with make_pipeline(experiment.data) as pipeline:
        next(pipeline)
        seconds = median_seconds(lambda: next(pipeline))
    return {"clips a second": batch / seconds, "seconds a batch": seconds}


def training_step(experiment) -> dict[str, float]:
    """Measure a step on a fixed batch, and the time in which the host dispatches it."""
    from lumiere_jax.parallel import global_batch, make_mesh
    from lumiere_jax.training.objective import make_objective
    from lumiere_jax.training.step import compile_step

    mesh = make_mesh(experiment.mesh)
    objective = make_objective(experiment)
    with jax.set_mesh(mesh):
        state = fresh_state(objective, mesh)
        batch = global_batch(random_batch(experiment), mesh)
        step = compile_step(objective, state, batch, mesh)
        state, _ = jax.block_until_ready(step.run(state, batch))
        whole, sent = [], []
        for _ in range(REPEATS.value):
            begun = time.perf_counter()
            state, metrics = step.run(state, batch)
            sent.append(time.perf_counter() - begun)
            jax.block_until_ready((state, metrics))
            whole.append(time.perf_counter() - begun)
    seconds = statistics.median(whole)
    figures = {
        "compile, seconds": step.seconds,
        "seconds": seconds,
        "clips a second": experiment.data.batch_size / seconds,
        "model TFLOP/s": step.flops / seconds / 1e12,
    }
    if jax.default_backend() != "cpu":  # on a CPU the step itself may run inside the call
        figures["dispatch, share of the step"] = statistics.median(sent) / seconds
    return figures


def forward(experiment) -> dict[str, float]:
    """Measure one call of the U-Net."""
    from lumiere_jax.training.flops import count_flops
    from lumiere_jax.training.objective import make_objective

    objective = make_objective(experiment)
    net = objective.unet
    params = jax.tree.map(lambda leaf: leaf.astype(net.dtype), net.init(jax.random.key(0)))
    arguments = (params, *network_inputs(experiment))
    flops = count_flops(net.apply, *arguments)
    jax.block_until_ready(net.apply(*arguments))
    seconds = median_seconds(lambda: jax.block_until_ready(net.apply(*arguments)))
    return {
        "seconds": seconds,
        "model TFLOP": flops / 1e12,
        "model TFLOP/s": flops / seconds / 1e12,
    }


def sampling(experiment) -> dict[str, float]:
    """Measure the seconds per clip, from the time of a few denoising steps with guidance."""
    import dataclasses

    from lumiere_jax.sampling import Stage, StageConfig
    from lumiere_jax.training.objective import make_objective

    net = make_objective(experiment).unet
    sampler = dataclasses.replace(experiment.sampler, spacing="trailing", steps=STEPS.value)
    data = experiment.data
    frames = 1 if data.image_frames else data.frames
    settings = StageConfig(
        diffusion=experiment.diffusion, sampler=sampler, frames=frames, size=data.size
    )
    stage = Stage("base", net, net.init(jax.random.key(0)), settings)
    video, _, text = network_inputs(experiment, batch=1)
    keys = jax.random.split(jax.random.key(0), 1)
    options = {"frames": frames}
    if net.config.low_resolution:
        options["low_resolution"] = video
    run = lambda: jax.block_until_ready(stage.sample(keys, text, text, **options))  # noqa: E731
    run()
    seconds = median_seconds(run) / STEPS.value
    return {
        "seconds a denoising step": seconds,
        f"seconds a clip of {experiment.sampler.steps} steps": seconds * experiment.sampler.steps,
    }


def fresh_state(objective, mesh):
    """Create a training state with newly initialized parameters, without files."""
    from lumiere_jax.training.initialize import state_shapes
    from lumiere_jax.training.optimizer import make_optimizer
    from lumiere_jax.training.state import create_state

    experiment = objective.experiment
    optimizer = make_optimizer(experiment.optimizer, experiment.train.steps)
    params = objective.init(jax.random.key(0))
    create = lambda params: create_state(  # noqa: E731
        params, experiment.train.trainable, optimizer, objective.dtype
    )
    shapes = state_shapes(objective, optimizer, mesh)
    return jax.jit(create, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes))(params)


def random_batch(experiment) -> dict[str, np.ndarray]:
    """Return a batch of random clips and tokens in the shapes of the experiment's data."""
    rng, data = np.random.default_rng(0), experiment.data
    frames = 1 if data.image_frames else data.frames
    shape = (data.batch_size, frames, data.size, data.size, 3)
    return {
        "video": rng.integers(0, 256, shape, np.uint8),
        "tokens": rng.integers(3, 100, (data.batch_size, data.text_length)).astype(np.int32),
        "token_mask": np.ones((data.batch_size, data.text_length), bool),
    }


def network_inputs(experiment, batch: int | None = None):
    """Return random video, times and text for the U-Net."""
    from lumiere_jax.text import Text

    data, config = experiment.data, experiment.model
    batch = batch or data.batch_size
    frames = 1 if data.image_frames else data.frames
    rng = np.random.default_rng(0)
    draw = lambda *shape: jax.numpy.asarray(rng.normal(size=shape), jax.numpy.float32)  # noqa: E731
    text = None
    if config.text_dim is not None:
        mask = jax.numpy.ones((batch, data.text_length), bool)
        text = Text(draw(batch, data.text_length, config.text_dim), mask)
    video = draw(batch, frames, data.size, data.size, config.in_channels)
    return video, jax.numpy.full((batch,), 0.5), text


def median_seconds(run: Callable[[], Any]) -> float:
    """Return the median time of --repeats calls."""
    times = []
    for _ in range(REPEATS.value):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def peak_memory() -> float:
    """Return the peak memory in GiB: of the device if it reports one, else of the process."""
    statistics_of = jax.devices()[0].memory_stats() or {}
    peak = statistics_of.get("peak_bytes_in_use")
    if peak is None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak / 2**30


if __name__ == "__main__":
    run(main)
