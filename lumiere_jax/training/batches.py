"""The input pipeline as training and evaluation read it."""

from __future__ import annotations

import dataclasses

from etils import epath
from jax.sharding import Mesh

from lumiere_jax.input_pipeline import DataConfig, Pipeline, make_pipeline
from lumiere_jax.parallel import data_share
from lumiere_jax.training.config import Experiment


def open_batches(experiment: Experiment, mesh: Mesh, folder: epath.PathLike | None = None):
    """This process's rows of the training batches.

    Args:
      folder: work directory; clips that cannot be read are listed in its `quarantine.jsonl`.
    """
    index, count = data_share(mesh)
    quarantine = None if folder is None else epath.Path(folder) / "quarantine.jsonl"
    return make_pipeline(
        experiment.data, process_index=index, process_count=count, quarantine=quarantine
    )


def open_evaluation_batches(experiment: Experiment, mesh: Mesh) -> Pipeline:
    """The evaluation's batches, from the first one on."""
    index, count = data_share(mesh)
    return make_pipeline(evaluation_data(experiment), process_index=index, process_count=count)


def evaluation_data(experiment: Experiment) -> DataConfig:
    """`experiment.evaluation`, or the held-out half of a set that has one, or the training set."""
    data = experiment.evaluation or experiment.data
    if experiment.evaluation is None and data.source == "moving_shapes":
        data = dataclasses.replace(data, split="heldout")
    return dataclasses.replace(data, workers=0, masks=experiment.data.masks)
