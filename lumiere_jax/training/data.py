"""The input pipeline as training and evaluation read it."""

from __future__ import annotations

import dataclasses

import numpy as np
from etils import epath
from jax.sharding import Mesh

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.pipeline import Pipeline, make_pipeline
from lumiere_jax.parallel.processes import data_share
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.text.tokenizers import open_tokenizer
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


def null_text(experiment: Experiment) -> Tokens | Text | None:
    """One row: tokens of the empty string, or its stored embedding; None for a model without text.

    Raises:
      FileNotFoundError: captions are stored as embeddings and are to be dropped, but the folder
        holds no embedding of the empty string.
      ValueError: the tokeniser has more tokens than the text encoder has rows.
    """
    data = experiment.data
    if experiment.model.text_dim is None:
        return None
    if experiment.text is not None:
        tokenizer = open_tokenizer(data.tokenizer, experiment.text.vocabulary_size)
        tokens = tokenizer.encode([""], data.text_length)
        return Tokens(np.asarray(tokens.ids), np.asarray(tokens.mask))
    return _stored(experiment)


def _stored(experiment: Experiment) -> Text | None:
    data = experiment.data
    path = epath.Path(data.source.partition(":")[2]) / "null_text.npy"
    if not path.exists():
        if experiment.train.text_dropout:
            raise FileNotFoundError(
                f"{path}: no such file; python -m lumiere_jax.embed_text writes it beside the "
                "clips, or set --config.train.text_dropout=0"
            )
        return None
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an array ({error}); embed the captions again") from None
    width = experiment.model.text_dim or 0
    if not isinstance(stored, np.ndarray) or stored.ndim != 2 or stored.shape[-1] != width:
        shape = getattr(stored, "shape", None)
        raise ValueError(f"{path} holds an array of shape {shape}, expected [l, {width}]")
    stored = stored[: data.text_length]
    embedding = np.zeros((1, data.text_length, width), np.float32)
    embedding[0, : len(stored)] = stored
    return Text(embedding, np.arange(data.text_length)[None] < len(stored))
