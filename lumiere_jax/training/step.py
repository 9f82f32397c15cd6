"""One training step, a pure function: (state, batch) -> (state, metrics).

It runs inside one `jax.shard_map`, manual over every mesh axis: what is moved between devices is a
call in our code (`parallel.collectives`), never the compiler's choice. A device computes the loss
of its own rows and its gradient; sums and means over devices come after.

Its randomness is `fold_in(key(seed), step)`, so a resumed run draws the same noise. An update whose
loss or gradient is not finite is refused: parameters, average and optimizer state do not change.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Key

from lumiere_jax.parallel.collectives import (
    mean_over_batch,
    parts_along,
    sum_gradients,
    sum_squares,
)
from lumiere_jax.parallel.mesh import BATCH_AXES
from lumiere_jax.parallel.rows import device_rows
from lumiere_jax.parallel.sharding import Division, batch_shardings, divisions_of
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.flops import jaxpr_flops
from lumiere_jax.training.metric_writer import say
from lumiere_jax.training.objective import Objective, make_objective
from lumiere_jax.training.optimizer import learning_rate_schedule, make_optimizer
from lumiere_jax.training.state import Params, State, merge_params

Batch = dict[str, Any]
Metrics = dict[str, Float[Array, ""]]
Loss = Callable[[Params, Batch, Key[Array, ""]], tuple[Float[Array, ""], Metrics]]
TrainStep = Callable[[State, Batch], tuple[State, Metrics]]


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    config: TrainConfig,
    *,
    seed: int,
    divisions: Params | None = None,
) -> TrainStep:
    """Return the training step, a function for `jax.jit`, or for `jax.shard_map` with `divisions`.

    Args:
      loss: (params, batch, key) -> (scalar, metrics); the mean over the rows of the batch, with
        `divisions` over those of this device.
      optimizer: optax transformation of the trainable parameters.
      learning_rate: learning rate of the optimizer, for the metrics.
      config: micro-batches, and the decay of the average.
      seed: seed of all noise.
      divisions: `Division` of each trainable parameter; None on one device.
    """

    def train_step(state: State, batch: Batch) -> tuple[State, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def objective(trainable, batch, key):
            return loss(merge_params(state.frozen, trainable), batch, key)

        gradients, metrics = accumulate_gradients(
            objective, state.trainable, batch, key, config.accumulate
        )
        if divisions is not None:
            gradients, metrics = gradients_over_devices(gradients, metrics, divisions)
        chex.assert_trees_all_equal_shapes_and_dtypes(gradients, state.trainable)
        chex.assert_rank(metrics["loss"], 0)
        whole = jax.tree.map(lambda _: Division(), gradients)
        norm = jnp.sqrt(sum_squares(gradients, divisions or whole))
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
        updated = _update(state, gradients, optimizer, config.ema_decay)
        new = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, state)
        new = _count(new, state, finite)
        rate = jnp.asarray(learning_rate(state.step - state.skipped), jnp.float32)
        metrics |= {"gradient_norm": norm, "learning_rate": rate}
        return new, metrics | {"skipped_in_a_row": new.skipped_in_a_row, "skipped": new.skipped}

    return train_step


def gradients_over_devices(
    gradients: Params, metrics: Metrics, divisions: Params
) -> tuple[Params, Metrics]:
    """Return the gradient and the metrics of the whole batch from those of each device's rows.

    Args:
      gradients: gradient of the mean loss of this device's rows.
      metrics: means over this device's rows.
      divisions: `Division` of each trainable parameter.
    """
    rows = parts_along(BATCH_AXES)
    total = sum_gradients(gradients, divisions)
    return jax.tree.map(lambda leaf: leaf / rows, total), mean_over_batch(metrics)


def accumulate_gradients(objective, trainable: Params, batch: Batch, key, parts: int):
    """Return the mean gradient and metrics of `parts` micro-batches, computed one after another.

    Args:
      objective: (trainable, batch, key) -> (loss, metrics).
      trainable: parameters that the gradient is computed for.
      batch: batch whose rows are divided: part i has rows i, i + parts, ….
      key: random key; part i has `fold_in(key, i)`, the only part `key` itself.
      parts: number of micro-batches.
    """
    gradient = jax.value_and_grad(objective, has_aux=True)
    if parts == 1:
        (value, metrics), gradients = gradient(trainable, batch, key)
        return gradients, metrics | {"loss": value}

    def one(total, inputs):
        index, batch = inputs
        (value, metrics), gradients = gradient(trainable, batch, jax.random.fold_in(key, index))
        return jax.tree.map(jnp.add, total, gradients), metrics | {"loss": value}

    zeros = jax.tree.map(jnp.zeros_like, trainable)
    shares = jax.tree.map(lambda leaf: _divide(leaf, parts), batch)
    total, metrics = jax.lax.scan(one, zeros, (jnp.arange(parts), shares))
    return jax.tree.map(lambda leaf: leaf / parts, total), jax.tree.map(jnp.mean, metrics)


def _divide(leaf: Array, parts: int) -> Array:
    """Divide [b, ...] into [parts, b / parts, ...]; every row stays on its device."""
    leaf = leaf.reshape(leaf.shape[0] // parts, parts, *leaf.shape[1:])
    return jnp.moveaxis(leaf, 1, 0)


def _update(state: State, gradients: Params, optimizer, ema_decay: float) -> State:
    updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.trainable)
    trainable = optax.apply_updates(state.trainable, updates)
    # The decay rises from 0.1, or the average would consist of the initial parameters for long.
    decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), state.ema, trainable)
    return state._replace(trainable=trainable, ema=ema, optimizer=optimizer_state)


def _count(new: State, old: State, finite: Array) -> State:
    refused = 1 - finite.astype(jnp.int32)
    return new._replace(
        step=old.step + 1,
        frozen=old.frozen,
        skipped=old.skipped + refused,
        skipped_in_a_row=(old.skipped_in_a_row + 1) * refused,
    )


class CompiledStep(NamedTuple):
    """A compiled training step.

    Attributes:
      run: (state, batch) -> (state, metrics); the argument `state` is donated.
      flops: FLOPs of a step over all devices, without rematerialisation.
      seconds: duration of tracing and compilation.
    """

    run: Any
    flops: int
    seconds: float


def compile_step(objective: Objective, state: State, batch: dict[str, Any], mesh: Mesh):
    """Compile the training step.

    Args:
      objective: networks and loss.
      state: state, of arrays or `jax.ShapeDtypeStruct`s with shardings.
      batch: batch over all devices, of arrays or `jax.ShapeDtypeStruct`s.
      mesh: mesh of the devices.
    """
    say(f"compiling the training step for {mesh.size} {mesh.devices.flat[0].device_kind} …")
    begun = time.perf_counter()
    traced = trace_step(objective, state, batch, mesh)
    compiled = traced.lower().compile()
    flops = jaxpr_flops(traced.jaxpr.jaxpr)
    if objective.experiment.train.remat:
        plain = make_objective(objective.experiment, remat=False)
        flops = jaxpr_flops(trace_step(plain, state, batch, mesh).jaxpr.jaxpr)
    seconds = time.perf_counter() - begun
    say(f"compiled in {seconds:.1f} s; a step is {flops / 1e12:.4g} TFLOP")
    return CompiledStep(compiled, flops, seconds)


def trace_step(objective: Objective, state: State, batch: dict[str, Any], mesh: Mesh) -> Any:
    """Trace the training step; return the `jax.stages.Traced`, which has its jaxpr.

    Args:
      objective: networks and loss.
      state: state, of arrays or `jax.ShapeDtypeStruct`s with shardings.
      batch: batch over all devices, of arrays or `jax.ShapeDtypeStruct`s.
      mesh: mesh of the devices.
    """
    divisions = divisions_of(state)
    local = objective.on_mesh(merge_params(divisions.frozen, divisions.trainable), mesh)

    def loss(params: Params, batch: Batch, key: Key[Array, ""]):
        return local.loss(params, batch, key, device_rows(len(batch["video"])))

    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    specs = jax.tree.map(lambda sharding: sharding.spec, shardings)
    step = jax.shard_map(
        _step(loss, objective.experiment, divisions.trainable),
        mesh=mesh,
        in_specs=(specs, P(BATCH_AXES)),
        out_specs=(specs, P()),
        check_vma=False,
    )
    placed = shardings, batch_shardings(batch, mesh)
    return jax.jit(step, donate_argnums=0, in_shardings=placed).trace(state, batch)


def _step(loss: Loss, experiment: Experiment, divisions: Params) -> TrainStep:
    steps = experiment.train.steps
    return make_train_step(
        loss,
        make_optimizer(experiment.optimizer, steps, divisions),
        learning_rate_schedule(experiment.optimizer, steps),
        experiment.train,
        seed=experiment.seed,
        divisions=divisions,
    )
