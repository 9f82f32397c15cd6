"""Batches and texts as training and its evaluations read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from etils import epath
from jax.sharding import Mesh

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.pipeline import Pipeline, make_pipeline
from lumiere_jax.parallel.processes import data_share
from lumiere_jax.text.reading import clean
from lumiere_jax.text.stored import NULL_TEXT, PROMPTS, pad_text, read_array, read_prompts
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.text.tokenizers import open_tokenizer
from lumiere_jax.training.config import Experiment


def open_batches(
    experiment: Experiment, mesh: Mesh, folder: epath.PathLike | None = None
) -> Pipeline:
    """Open the training batches: this process's rows of them.

    Args:
      experiment: settings of the run.
      mesh: devices that the batches are divided over.
      folder: work directory; clips that cannot be read are listed in its `quarantine.jsonl`.
    """
    index, count = data_share(mesh)
    quarantine = None if folder is None else epath.Path(folder) / "quarantine.jsonl"
    return make_pipeline(
        experiment.data, process_index=index, process_count=count, quarantine=quarantine
    )


def open_evaluation_batches(experiment: Experiment, mesh: Mesh) -> Pipeline:
    """Open the evaluation's batches at the first one.

    Args:
      experiment: settings of the run.
      mesh: devices that the batches are divided over.
    """
    index, count = data_share(mesh)
    return make_pipeline(evaluation_data(experiment), process_index=index, process_count=count)


def evaluation_data(experiment: Experiment) -> DataConfig:
    """Return the clips that the evaluation loss is computed on.

    Args:
      experiment: settings of the run. Without `evaluation` the clips are the held-out half of a set
        that has one, or else the training set.
    """
    data = experiment.evaluation or experiment.data
    if experiment.evaluation is None and data.source == "moving_shapes":
        data = dataclasses.replace(data, split="heldout")
    return dataclasses.replace(data, workers=0, masks=experiment.data.masks)


def null_text(experiment: Experiment) -> Tokens | Text | None:
    """Return the text of the unconditional model: captions are dropped to it, guidance uses it.

    Args:
      experiment: settings of the run.

    Returns:
      One row: tokens of the empty string, or its stored embedding; None for a model without text,
      or if no caption is dropped and no embedding is stored.

    Raises:
      FileNotFoundError: captions are stored as embeddings and are to be dropped, but the folder
        holds no embedding of the empty string.
      ValueError: the tokenizer has more tokens than the text encoder has rows, or the stored array
        has another shape than the model reads.
    """
    if experiment.model.text_dim is None:
        return None
    if experiment.text is not None:
        return _tokens(experiment, [""])
    path = _stored_file(experiment, NULL_TEXT)
    if not path.exists():
        if experiment.train.text_dropout:
            raise FileNotFoundError(
                f"{path}: no such file; python -m lumiere_jax.embed_text writes it beside the "
                "clips, or set --config.train.text_dropout=0"
            )
        return None
    stored = read_array(path, experiment.model.text_dim)
    return pad_text([stored], experiment.data.text_length)


def prompt_text(experiment: Experiment, prompts: Sequence[str]) -> Tokens | Text | None:
    """Return the sample prompts as the model reads them.

    Args:
      experiment: settings of the run.
      prompts: one per row of the result.

    Returns:
      Tokens, or stored embeddings where the captions are stored so; None for a model without text.

    Raises:
      ValueError: captions are stored as embeddings, and these prompts are not among the stored
        ones.
    """
    if experiment.model.text_dim is None:
        return None
    if experiment.text is not None:
        return _tokens(experiment, prompts)
    path = _stored_file(experiment, PROMPTS)
    stored = read_prompts(path, experiment.model.text_dim) if path.exists() else {}
    prompts = [clean(prompt) for prompt in prompts]
    missing = [prompt for prompt in prompts if prompt not in stored]
    if missing:
        raise ValueError(
            f"--config.train.sample_prompts: {path} has no embedding of {missing[0]!r}; write it "
            f'with python -m lumiere_jax.embed_text --prompt="{missing[0]}" (same --source, '
            "--model and --output as for the clips)"
        )
    return pad_text([stored[prompt] for prompt in prompts], experiment.data.text_length)


def _tokens(experiment: Experiment, texts: Sequence[str]) -> Tokens:
    data = experiment.data
    tokenizer = open_tokenizer(data.tokenizer, experiment.text.vocabulary_size)
    tokens = tokenizer.encode(list(texts), data.text_length)
    return Tokens(np.asarray(tokens.ids), np.asarray(tokens.mask))


def _stored_file(experiment: Experiment, name: str) -> epath.Path:
    return epath.Path(experiment.data.source.partition(":")[2]) / name
