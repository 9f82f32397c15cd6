"""The traced program of an experiment, from shapes alone: no data, tokens, weights or devices."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from lumiere_jax.diffusion.sampling import Hooks
from lumiere_jax.parallel.mesh import BATCH_AXES
from lumiere_jax.parallel.sharding import batch_shardings, replicated, storage_shardings
from lumiere_jax.sampling.stage import Stage
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.training.config import Experiment
from lumiere_jax.training.initialize import state_shapes
from lumiere_jax.training.objective import Objective, make_objective
from lumiere_jax.training.optimizer import make_optimizer
from lumiere_jax.training.step import trace_step

Shapes = Any  # tree of `jax.ShapeDtypeStruct`s
STORED = np.float16  # dtype of the embeddings that `embed_text` stores


class Program(NamedTuple):
    """A traced program.

    Attributes:
      traced: program with its jaxpr; it can be lowered if its mesh has devices.
      stored: bytes of each kind of argument on one device.
    """

    traced: Any
    stored: dict[str, int]


def training_program(experiment: Experiment, mesh: Any) -> Program:
    """Trace the training step.

    Args:
      experiment: settings of the run, its batch and rematerialisation among them.
      mesh: mesh of devices, or one without them (`Target.abstract_mesh`).

    Raises:
      ValueError: the mesh divides neither the batch nor the parameters, or not the frames.
    """
    objective = make_objective(experiment, null=null_of(experiment))
    batch = training_batch(experiment)
    shardings = batch_shardings(batch, mesh)  # before anything that takes long
    optimizer = make_optimizer(experiment.optimizer, experiment.train.steps)
    state = state_shapes(objective, optimizer, mesh)
    traced = trace_step(objective, state, batch, mesh)
    stored = {
        "frozen parameters": local_bytes(state.frozen),
        "trained parameters": local_bytes(state.trainable),
        "their average": local_bytes(state.ema),
        "optimizer": local_bytes(state.optimizer),
        "batch": local_bytes(with_shardings(batch, shardings)),
    }
    return Program(traced, stored)


def sampling_program(experiment: Experiment, mesh: Any, clips: int) -> Program:
    """Trace the sampling of clips by the experiment's stage, from embeddings to pixels.

    A super-resolution refines whole clips, window by window. The text encoder is not part of it.

    Args:
      experiment: settings of the stage.
      mesh: mesh of devices, or one without them (`Target.abstract_mesh`).
      clips: number of clips over all devices.

    Raises:
      ValueError: the mesh divides neither the parameters nor the frames.
    """
    objective = make_objective(experiment, remat=False, null=null_of(experiment))
    data, refining = experiment.data, experiment.super_resolution
    net, frames = objective.unet, 1 if data.image_frames else data.frames
    params = net.shapes()
    params = with_shardings(params, storage_shardings(params, mesh))
    stage = _TracedStage(experiment.stage, net, params, stage_config(experiment), mesh)
    rows = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    place = NamedSharding(mesh, P(BATCH_AXES)) if clips % rows == 0 else replicated(mesh)
    given = {"text": text_shapes(objective, clips)}
    if refining is not None:
        side = data.size // refining.factor
        given["low_resolution"] = shape((clips, frames, side, side, 3), np.float32)
    given = jax.tree.map(lambda leaf: shape(leaf.shape, leaf.dtype, place), given)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), clips))
    traced = stage.sample(
        shape(keys.shape, keys.dtype, place), null=text_shapes(objective, 1), frames=frames, **given
    )
    return Program(traced, {"parameters": local_bytes(params), "inputs": local_bytes(given)})


class _TracedStage(Stage):
    """A stage whose `sample` takes shapes for arrays, and returns its traced program."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._compiled = self._compiled.trace

    def _hooks(self, preview_every: int, count: int | None) -> Hooks:
        """Return no callbacks: the compiler of another machine has no host to call."""
        return Hooks()


def stage_config(experiment: Experiment) -> StageConfig:
    """Return the sampling settings of an experiment's stage, as a finished run has them.

    Args:
      experiment: settings of the stage.
    """
    data = experiment.data
    settings = StageConfig(
        diffusion=experiment.diffusion,
        sampler=experiment.sampler,
        frames=data.clip_frames,
        size=data.size,
    )
    refining = experiment.super_resolution
    return settings if refining is None else refining.stage_config(settings)


def for_target(experiment: Experiment, *, accelerator: bool) -> Experiment:
    """Return the experiment with the compute dtype that it has on the target.

    Args:
      experiment: settings of the run.
      accelerator: True for a TPU, False for the devices of this machine.
    """
    if experiment.train.dtype is not None or not accelerator:
        return experiment
    train = dataclasses.replace(experiment.train, dtype="bfloat16")
    return dataclasses.replace(experiment, train=train)


def training_batch(experiment: Experiment) -> dict[str, Shapes]:
    """Return the shapes of a batch over all devices, as `make_pipeline` yields it.

    Args:
      experiment: settings of the run.
    """
    data = experiment.data
    b, t, side, length = data.batch_size, data.clip_frames, data.clip_size, data.text_length
    batch = {"video": shape((b, t, side, side, 3), np.uint8)}
    if data.masks is not None:
        batch |= {"mask": shape((b, t, side, side, 1), bool), "still": shape((b,), bool)}
    if experiment.text is not None or data.text == "tokens":
        tokens = {"tokens": shape((b, length), np.int32), "token_mask": shape((b, length), bool)}
        return batch | tokens
    # A model without text reads none of what is stored.
    width = experiment.model.text_dim or 1
    embedding = shape((b, length, width), STORED)
    return batch | {"text_embedding": embedding, "text_mask": shape((b, length), bool)}


def null_of(experiment: Experiment) -> Tokens | Text | None:
    """Return zeros in place of the null text, which plans do not read from the disk.

    Args:
      experiment: settings of the run.
    """
    length, width = experiment.data.text_length, experiment.model.text_dim
    if width is None:
        return None
    mask = np.zeros((1, length), bool)
    if experiment.text is not None:
        return Tokens(np.zeros((1, length), np.int32), mask)
    return Text(np.zeros((1, length, width), np.float32), mask)


def text_shapes(objective: Objective, clips: int) -> Text | None:
    """Return the shapes of the prompts' embeddings; None for a model without text.

    Args:
      objective: networks of the stage.
      clips: number of prompts.
    """
    length, width = objective.experiment.data.text_length, objective.unet.config.text_dim
    if width is None:
        return None
    return Text(shape((clips, length, width), jnp.float32), shape((clips, length), bool))


def shape(sizes: tuple[int, ...], dtype: Any, sharding: Any = None) -> jax.ShapeDtypeStruct:
    """Return the shape of an array."""
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)


def with_shardings(shapes: Shapes, shardings: Any) -> Shapes:
    """Return shapes with a sharding each.

    Args:
      shapes: tree of shapes.
      shardings: the same tree of shardings.
    """
    return jax.tree.map(lambda leaf, place: shape(leaf.shape, leaf.dtype, place), shapes, shardings)


def local_bytes(shapes: Shapes) -> int:
    """Return the bytes of a tree's arrays on one device.

    Args:
      shapes: tree of shapes with shardings.
    """
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(shapes)
    )
