"""How a run begins: from its own checkpoint, from another run's weights, or from nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from absl import logging
from etils import epath
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh

from lumiere_jax.parallel.sharding import SMALL, storage_shardings
from lumiere_jax.training.checkpoint import Checkpoints, state_from_trees, stored_trees
from lumiere_jax.training.config import Experiment
from lumiere_jax.training.objective import Objective
from lumiere_jax.training.runs import load_weights
from lumiere_jax.training.state import Params, State, create_state, split_params

# What an image model lacks: the temporal half, and the convolution that reads an observed video.
VIDEO_PARTS = frozenset({"temporal", "observation"})
# A style is a fresh difference.
MAY_BE_FRESH = VIDEO_PARTS | {"augmentation", "low_rank"}

# The stage beside it that a stage starts from; one that is trained whole starts from nothing.
FOLLOWS = {"base": "image", "conditional": "base", "style": "image", "ssr": "ssr_image"}


class Start(NamedTuple):
    """Where the loop begins.

    Attributes:
      state: on its devices.
      data: state of the data iterator; None for the beginning.
      frozen: fingerprint of the stored frozen weights.
    """

    state: State
    data: Any
    frozen: str


def begin(
    objective: Objective, optimizer: Any, checkpoints: Checkpoints, mesh: Mesh, run: epath.PathLike
) -> Start:
    """Resumes from the newest checkpoint, or starts a new run.

    Args:
      run: folder of the whole run, in which the `image` stage of a video model is looked for.

    Raises:
      ValueError: weights of another architecture, or none where they are needed.
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
    """The state as shapes with their shardings; nothing is allocated."""
    shapes = jax.eval_shape(
        lambda params: create_state(
            params, objective.experiment.train.trainable, optimizer, objective.dtype
        ),
        objective.shapes(),
    )
    return _placed(shapes, storage_shardings(shapes, mesh, small=small))


def start_params(
    objective: Objective, mesh: Mesh, source: epath.Path | None, text: epath.Path | None = None
) -> Params:
    """All parameters, float32, on their devices: those of `source`, and fresh ones for the rest.

    Raises:
      ValueError: `source` holds another architecture.
    """
    shapes = objective.shapes()
    given: Params = {}
    if source is not None:
        given = load_weights(source, mesh=mesh, text=objective.text is not None)
        given = without_video_parts(shapes, given)
        check_same_architecture(shapes, given, source)
        logging.info("starting from the averaged weights of %s", source)
    if text is not None:
        given = {"text": load_weights(text, mesh=mesh)["text"]}
        logging.info("with the text encoder of %s", text)
    key = jax.random.key(objective.experiment.seed)
    return objective.init(key, shardings=storage_shardings(shapes, mesh), given=given)


def source_folder(experiment: Experiment, run: epath.PathLike) -> epath.Path | None:
    """The stage whose weights a new run starts from; None for fresh ones.

    Raises:
      FileNotFoundError: the model is to be trained in part, and there is nothing to start from.
    """
    start = experiment.train.start_from
    if start is not None:
        return epath.Path(start)
    before = FOLLOWS.get(experiment.stage, "image" if experiment.model.temporal else None)
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
    """The stage whose text encoder fresh super-resolution weights read; None for any other model.

    A cascade has one text encoder, and the image stage has trained it.

    Raises:
      FileNotFoundError: it has not, yet.
    """
    if experiment.super_resolution is None or experiment.text is None:
        return None
    source = epath.Path(run) / "image"
    if not (source / "config.json").exists():
        raise FileNotFoundError(
            f"stage {experiment.stage!r} reads text as the image stage does, and {source} holds "
            "none: train it first (--config=…:image)"
        )
    return source


def without_video_parts(shapes: Params, given: Params) -> Params:
    """`given` without what only a video model has, where `shapes` is an image model.

    So an image stage can go on from the spatial half of a finished model.
    """
    wanted, have = flatten_dict(shapes), flatten_dict(given)
    for part in VIDEO_PARTS:
        if not any(part in path for path in wanted):
            have = {path: leaf for path, leaf in have.items() if part not in path}
    return unflatten_dict(have)


def check_same_architecture(shapes: Params, given: Params, source: epath.PathLike) -> None:
    """`given` may lack only what an image model lacks, and fits in all else.

    Raises:
      ValueError: it does not; the first parameter that differs is named.
    """
    wanted, have = flatten_dict(shapes, sep="/"), flatten_dict(given, sep="/")
    strange = [p for p in wanted if p not in have and not MAY_BE_FRESH & set(p.split("/"))]
    strange += [p for p in have if p not in wanted or have[p].shape != wanted[p].shape]
    if strange:
        path = strange[0]
        raise ValueError(
            f"{source} holds another architecture: {len(strange)} parameters differ, first {path} "
            f"({getattr(have.get(path), 'shape', 'absent')} there, "
            f"{getattr(wanted.get(path), 'shape', 'absent')} in --config.model)"
        )


def _placed(shapes: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )
