"""A finished (or running) stage as its settings and averaged weights."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from etils import epath
from jax.sharding import Mesh

from lumiere_jax.parallel import make_mesh, storage_shardings
from lumiere_jax.training.checkpoint import Checkpoints
from lumiere_jax.training.config import Experiment, read_experiment
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.state import Params, merge_params, split_params
from lumiere_jax.weights import describe_model, read_model
from lumiere_jax.weights.parts import stage_names


class Run(NamedTuple):
    """What a work directory holds.

    Attributes:
      experiment: its settings; `.model` and `.text` describe the networks of `params`.
      params: `{"unet": …, "text": …}`, float32: the moving average of what was trained, and the
        frozen weights as they are.
      step: of the checkpoint.
    """

    experiment: Experiment
    params: Params
    step: int


def load_run(folder: epath.PathLike, *, mesh: Mesh | None = None) -> Run:
    """Return the settings and averaged weights of the newest undamaged checkpoint of a stage.

    Args:
      folder: work directory of one stage, such as `runs/demo/base`.
      mesh: where the weights go; all devices when None.

    Raises:
      FileNotFoundError: no run, or no checkpoint yet.
      ValueError: every checkpoint is damaged.
    """
    folder = epath.Path(folder)
    experiment = read_experiment(folder / "config.json")
    mesh = mesh or make_mesh(experiment.mesh)
    shapes = make_objective(experiment).shapes()
    shapes = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        storage_shardings(shapes, mesh),
    )
    trainable, frozen = split_params(shapes, experiment.train.trainable)
    if not (folder / "checkpoints").exists():
        raise FileNotFoundError(f"{folder} holds no checkpoint yet; train it first")
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore({"ema": trainable})
        if restored is None:
            raise FileNotFoundError(f"{folder} holds no checkpoint yet; train it first")
        frozen = checkpoints.load_frozen(restored.frozen, frozen)
    return Run(experiment, merge_params(restored.trees["ema"], frozen), restored.step)


def load_weights(source: epath.PathLike, *, mesh: Mesh, text: bool = True) -> Params:
    """Return the weights that a new stage starts from: of a training run, or of a model folder.

    Args:
      source: work directory of a stage, or a folder with a `model.json`, of which the first stage
        of the cascade is taken: what `lumiere_jax.convert` makes of an image model.
      mesh: where the weights go.
      text: the text encoder too, where the model has one.

    Returns:
      `{"unet": …, "text": …}`, float32.

    Raises:
      FileNotFoundError: the folder holds neither.
    """
    source = epath.Path(source)
    if not (source / "model.json").exists():
        return load_run(source, mesh=mesh).params
    description = describe_model(source)
    stages = stage_names(description)
    if not stages:
        raise ValueError(f"{source} has a text encoder and no U-Net to start from")
    first = stages[0]
    wanted = [first, *(["text"] if text and "text" in description.parts else [])]

    def shardings(shapes):
        return storage_shardings(shapes, mesh)

    model = read_model(
        source, only=wanted, shardings=dict.fromkeys(wanted, shardings), dtype=jnp.float32
    )
    names = {first: "unet", "text": "text"}
    return {names[name]: part.params for name, part in model.parts.items()}
