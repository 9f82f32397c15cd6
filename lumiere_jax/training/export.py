"""A finished (or running) stage as its settings and averaged weights."""

from __future__ import annotations

from typing import NamedTuple

import jax
from etils import epath
from jax.sharding import Mesh

from lumiere_jax.parallel import make_mesh, storage_shardings
from lumiere_jax.training.checkpoint import Checkpoints
from lumiere_jax.training.config import Experiment, read_experiment
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.state import Params, merge_params, split_params


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
    """Settings and averaged weights of the newest undamaged checkpoint of a stage.

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
