"""Initial state of a run: its own checkpoint, or another run's parameters, or fresh ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import logging
from etils import epath
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh

from lumiere_jax.models.stunet import VIDEO_MODULES
from lumiere_jax.parallel.sharding import SMALL, replicated, storage_shardings
from lumiere_jax.training.checkpoint import Checkpoints, state_from_trees, stored_trees
from lumiere_jax.training.config import Experiment
from lumiere_jax.training.objective import Objective
from lumiere_jax.training.optimizer import optimizer_shardings
from lumiere_jax.training.runs import load_params
from lumiere_jax.training.stages import STAGES, TEXT_STAGE
from lumiere_jax.training.state import Params, State, create_state, split_params

# Parts that a source of parameters may lack; a style trains a fresh low-rank difference.
MAY_BE_FRESH = VIDEO_MODULES | {"augmentation", "low_rank"}


class Start(NamedTuple):
    """Initial state of the training loop.

    Attributes:
      state: state of training, on its devices.
      data: state of the data iterator; None for the beginning of the data.
      frozen: fingerprint of the stored frozen parameters.
    """

    state: State
    data: Any
    frozen: str


def begin(
    objective: Objective, optimizer: Any, checkpoints: Checkpoints, mesh: Mesh, run: epath.PathLike
) -> Start:
    """Resume from the newest checkpoint, or start a new run.

    Args:
      objective: networks of the run.
      optimizer: optax transformation.
      checkpoints: checkpoints of the work directory.
      mesh: mesh that the state is placed on.
      run: folder of the whole run, which holds the stage that this one follows.

    Raises:
      FileNotFoundError: the stage needs the parameters of another, which is not there.
      ValueError: the parameters have another architecture, or every checkpoint is damaged.
    """
    experiment = objective.experiment
    shapes = state_shapes(objective, optimizer, mesh)
    restored = checkpoints.restore(stored_trees(shapes))
    if restored is not None:
        wide = jax.tree.map(lambda leaf: leaf.update(dtype=jnp.float32), shapes.frozen)
        frozen = checkpoints.load_frozen(restored.frozen, wide)
        frozen = jax.jit(lambda tree: jax.tree.map(lambda x: x.astype(objective.dtype), tree))(
            frozen
        )
        return Start(state_from_trees(restored.trees, frozen), restored.data, restored.frozen)
    source = source_folder(experiment, run)
    text = text_folder(experiment, run) if source is None else None
    params = start_params(objective, mesh, source, text)
    _, frozen = split_params(params, experiment.train.trainable)
    digest = checkpoints.save_frozen(frozen)
    state = jax.jit(
        lambda params: create_state(params, experiment.train.trainable, optimizer, objective.dtype),
        out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes),
    )(params)
    return Start(state, None, digest)


def state_shapes(objective: Objective, optimizer: Any, mesh: Mesh, *, small: int = SMALL) -> State:
    """Return the state as shapes with shardings; nothing is allocated.

    Args:
      objective: networks of the run.
      optimizer: optax transformation.
      mesh: mesh that the state is placed on.
      small: number of elements below which an array is not divided.
    """
    shapes = jax.eval_shape(
        lambda params: create_state(
            params, objective.experiment.train.trainable, optimizer, objective.dtype
        ),
        objective.shapes(),
    )
    trainable, frozen = (
        storage_shardings(tree, mesh, small=small) for tree in (shapes.trainable, shapes.frozen)
    )
    whole = replicated(mesh)
    shardings = shapes._replace(
        step=whole,
        trainable=trainable,
        frozen=frozen,
        ema=trainable,
        optimizer=optimizer_shardings(optimizer, shapes.optimizer, trainable),
        skipped=whole,
        skipped_in_a_row=whole,
    )
    return _placed(shapes, shardings)


def start_params(
    objective: Objective, mesh: Mesh, source: epath.Path | None, text: epath.Path | None = None
) -> Params:
    """Return all parameters, float32, on their devices: those of `source`, the rest fresh.

    Args:
      objective: networks of the run.
      mesh: mesh that the parameters are placed on.
      source: run or model folder, see `load_params`; None for fresh parameters.
      text: run or model folder whose text encoder is used with fresh parameters.

    Raises:
      ValueError: `source` has another architecture.
    """
    shapes = objective.shapes()
    given: Params = {}
    if source is not None:
        given = load_params(source, mesh=mesh, text=objective.text is not None)
        given = without_video_parts(shapes, given)
        check_same_architecture(shapes, given, source)
        logging.info("starting from the averaged parameters of %s", source)
    if text is not None:
        given = {"text": load_params(text, mesh=mesh)["text"]}
        logging.info("with the text encoder of %s", text)
    key = jax.random.key(objective.experiment.seed)
    return objective.init(key, shardings=storage_shardings(shapes, mesh), given=given)


def source_folder(experiment: Experiment, run: epath.PathLike) -> epath.Path | None:
    """Return the folder whose parameters a new run starts from; None for fresh ones.

    Args:
      experiment: settings of the run.
      run: folder of the whole run.

    Raises:
      FileNotFoundError: the stage trains part of a model, and the stage that it follows is missing.
    """
    start = experiment.train.start_from
    if start is not None:
        return epath.Path(start)
    stage = STAGES.get(experiment.stage)
    # A stage that is not in the table follows the image model if it has a temporal half.
    fallback = TEXT_STAGE if experiment.model.temporal else None
    before = fallback if stage is None else stage.follows
    if before is None or experiment.train.trainable == ".":
        return None
    source = epath.Path(run) / before
    if not (source / "config.json").exists():
        raise FileNotFoundError(
            f"stage {experiment.stage!r} starts from stage {before!r}, and {source} holds none: "
            f"train it first (--config=…:{before}), or name a run with --config.train.start_from="
        )
    return source


def text_folder(experiment: Experiment, run: epath.PathLike) -> epath.Path | None:
    """Return the folder whose text encoder a fresh super-resolution network uses; else None.

    A cascade has one text encoder, which the image stage trains.

    Args:
      experiment: settings of the run.
      run: folder of the whole run.

    Raises:
      FileNotFoundError: the image stage has not been trained.
    """
    if experiment.super_resolution is None or experiment.text is None:
        return None
    source = epath.Path(run) / TEXT_STAGE
    if not (source / "config.json").exists():
        raise FileNotFoundError(
            f"stage {experiment.stage!r} reads text as the image stage does, and {source} holds "
            "none: train it first (--config=…:image)"
        )
    return source


def without_video_parts(shapes: Params, given: Params) -> Params:
    """Return parameters without the parts of a video model that an image model lacks.

    An image stage can thus start from the spatial half of a finished model.

    Args:
      shapes: parameters of the model to train, as shapes.
      given: parameters to start from.
    """
    target, have = flatten_dict(shapes), flatten_dict(given)
    for part in VIDEO_MODULES:
        if not any(part in path for path in target):
            have = {path: leaf for path, leaf in have.items() if part not in path}
    return unflatten_dict(have)


def check_same_architecture(shapes: Params, given: Params, source: epath.PathLike) -> None:
    """Raise a ValueError unless parameters fit a model, but for parts that may be fresh.

    Args:
      shapes: parameters of the model to train, as shapes.
      given: parameters to start from.
      source: folder of `given`, for the message.
    """
    target, have = flatten_dict(shapes, sep="/"), flatten_dict(given, sep="/")
    strange = [p for p in target if p not in have and not MAY_BE_FRESH & set(p.split("/"))]
    strange += [p for p in have if p not in target or have[p].shape != target[p].shape]
    if strange:
        path = strange[0]
        raise ValueError(
            f"{source} holds another architecture: {len(strange)} parameters differ, first {path} "
            f"({getattr(have.get(path), 'shape', 'absent')} there, "
            f"{getattr(target.get(path), 'shape', 'absent')} in --config.model)"
        )


def _placed(shapes: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )
