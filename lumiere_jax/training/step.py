"""One training step, a pure function: (state, batch) -> (state, metrics).

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
from jaxtyping import Array, Float, Key

from lumiere_jax.parallel.sharding import batch_shardings, replicated
from lumiere_jax.training.config import TrainConfig
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
    dtype: Any = jnp.float32,
    shardings: State | None = None,
) -> TrainStep:
    """Return the training step, a function for `jax.jit`.

    Args:
      loss: (params, batch, key) -> (scalar, metrics); the mean over the rows of the batch.
      optimizer: optax transformation of the trainable parameters.
      learning_rate: learning rate of the optimizer, for the metrics.
      config: micro-batches, and the decay of the average.
      seed: seed of all noise.
      dtype: compute dtype; matrices are cast to it before they are gathered over `fsdp`.
      shardings: shardings of the state; None on one device.
    """

    def train_step(state: State, batch: Batch) -> tuple[State, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def objective(trainable, batch, key):
            compute = _for_compute(trainable, dtype, shardings and shardings.trainable)
            return loss(merge_params(state.frozen, compute), batch, key)

        gradients, metrics = _accumulate(objective, state.trainable, batch, key, config.accumulate)
        if shardings is not None:
            # Without an explicit constraint the partitioner replicates the gradients.
            gradients = jax.lax.with_sharding_constraint(gradients, shardings.trainable)
        chex.assert_trees_all_equal_shapes_and_dtypes(gradients, state.trainable)
        chex.assert_rank(metrics["loss"], 0)
        norm = optax.global_norm(gradients)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
        updated = _update(state, gradients, optimizer, config.ema_decay)
        new = jax.tree.map(lambda new, old: jnp.where(finite, new, old), updated, state)
        new = _count(new, state, finite)
        rate = jnp.asarray(learning_rate(state.step - state.skipped), jnp.float32)
        metrics |= {"gradient_norm": norm, "learning_rate": rate}
        return new, metrics | {"skipped_in_a_row": new.skipped_in_a_row, "skipped": new.skipped}

    return train_step


def _for_compute(params: Params, dtype: Any, shardings: Params | None) -> Params:
    """Cast matrices to the compute dtype before they are gathered, to halve the bytes."""
    if jnp.dtype(dtype) == jnp.float32 or shardings is None:
        return params
    params = jax.tree.map(lambda leaf: leaf.astype(dtype) if leaf.ndim > 1 else leaf, params)
    return jax.lax.with_sharding_constraint(params, shardings)


def _accumulate(objective, trainable: Params, batch: Batch, key, parts: int):
    """Average the gradient and the metrics over `parts` micro-batches, one after another."""
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
    """Compile the training step; call it under `jax.set_mesh(mesh)`, for the activations' sharding.

    Args:
      objective: networks and loss.
      state: state, of arrays or `jax.ShapeDtypeStruct`s with shardings.
      batch: batch over all devices, of arrays or `jax.ShapeDtypeStruct`s.
      mesh: mesh of the devices.
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
