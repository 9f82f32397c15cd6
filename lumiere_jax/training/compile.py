"""The step as one program: where its arrays lie, what it costs, and how long it took to build."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from lumiere_jax.parallel import batch_shardings, replicated
from lumiere_jax.training.flops import jaxpr_flops
from lumiere_jax.training.objective import Objective, make_objective
from lumiere_jax.training.optimizer import learning_rate_schedule, make_optimizer
from lumiere_jax.training.state import State
from lumiere_jax.training.step import TrainStep, make_train_step
from lumiere_jax.training.telemetry import say


class CompiledStep(NamedTuple):
    """A train step for one shape of batch.

    Attributes:
      run: (state, batch) -> (state, metrics); the state given is used up (donated).
      flops: of a step over all devices, without rematerialisation.
      seconds: that tracing and compiling took.
    """

    run: Any
    flops: int
    seconds: float


def compile_step(objective: Objective, state: State, batch: dict[str, Any], mesh: Mesh):
    """Compiles the train step for these shapes (arrays or `jax.ShapeDtypeStruct`s).

    Must run under `jax.set_mesh(mesh)`, so that activations are pinned too.
    """
    say(f"compiling the training step for {mesh.size} {mesh.devices.flat[0].device_kind} …")
    begun = time.perf_counter()
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    jitted = jax.jit(
        _step(objective, shardings),
        donate_argnums=0,
        in_shardings=(shardings, batch_shardings(batch, mesh)),
        out_shardings=(shardings, replicated(mesh)),
    )
    traced = jitted.trace(state, batch)
    compiled = traced.lower().compile()
    flops = jaxpr_flops(traced.jaxpr.jaxpr)
    if objective.experiment.train.remat:
        plain = make_objective(objective.experiment, remat=False)
        flops = jaxpr_flops(jax.jit(_step(plain, shardings)).trace(state, batch).jaxpr.jaxpr)
    seconds = time.perf_counter() - begun
    say(f"compiled in {seconds:.1f} s; a step is {flops / 1e12:.4g} TFLOP")
    return CompiledStep(compiled, flops, seconds)


def _step(objective: Objective, shardings: State) -> TrainStep:
    experiment = objective.experiment
    steps = experiment.train.steps
    return make_train_step(
        objective.loss,
        make_optimizer(experiment.optimizer, steps),
        learning_rate_schedule(experiment.optimizer, steps),
        experiment.train,
        seed=experiment.seed,
        dtype=objective.dtype,
        shardings=shardings,
    )
