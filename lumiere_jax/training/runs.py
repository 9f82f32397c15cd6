"""Training runs as models: the parameters and settings that a work directory holds."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh

from lumiere_jax.checkpoints.model_folder import (
    Model,
    Part,
    describe_model,
    read_model,
    stage_names,
)
from lumiere_jax.checkpoints.style import Style
from lumiere_jax.parallel.mesh import make_mesh
from lumiere_jax.parallel.sharding import storage_shardings
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.sampling.text import TextConfig
from lumiere_jax.structure import to_dict
from lumiere_jax.training.checkpoint import Checkpoints
from lumiere_jax.training.config import Experiment, read_experiment
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.stages import last_first
from lumiere_jax.training.state import Params, merge_params, split_params


def is_run(folder: epath.PathLike) -> bool:
    """Return True if the folder is a stage's work directory, or holds some."""
    return bool(_stage_folders(epath.Path(folder)))


def run_model(folder: epath.PathLike, *, mesh: Mesh | None = None) -> Model:
    """Return the model of a training run: its base, its super-resolution and its text encoder.

    Args:
      folder: a run such as `runs/demo`, or one stage of it such as `runs/demo/base`.
      mesh: mesh that the parameters are placed on; see `load_run`.

    Raises:
      FileNotFoundError: the folder holds no training run.
      ValueError: it holds only a style, or its stages have different text encoders.
    """
    folder = epath.Path(folder)
    folders = _stage_folders(folder)
    if not folders:
        raise FileNotFoundError(
            f"{folder} holds neither a model (model.json) nor a training run "
            "(config.json): train one with python -m lumiere_jax.train, or name another --model"
        )
    runs = {name: load_run(path, mesh=mesh) for name, path in folders.items()}
    if any(run.experiment.stage == "style" for run in runs.values()):
        raise ValueError(
            f"{folder} is a style, which changes a model: load or convert {folder.parent}, and "
            "give this as --style (convert: --from=style)"
        )
    _check_one_text_encoder(runs)
    first = next(iter(runs.values()))
    parts = {}
    if first.experiment.text is not None:
        data = first.experiment.data
        text = TextConfig(tokenizer=_full_path(data.tokenizer), length=data.text_length)
        parts["text"] = Part(
            config=first.experiment.text, params=first.params["text"], settings=to_dict(text)
        )
    for name, run in runs.items():
        parts[name] = Part(
            config=run.experiment.model,
            params=run.params["unet"],
            settings=to_dict(_settings(run.experiment)),
        )
    settings = {
        "name": first.experiment.name,
        "frame_rate": first.experiment.frame_rate,
        "stages": list(runs),
        "trained": {name: {"steps": run.step} for name, run in runs.items()},
    }
    return Model(parts=parts, settings=settings)


def _full_path(tokenizer: str) -> str:
    """Return the tokenizer of a run.

    Raises:
      ValueError: it is a relative path, as earlier versions stored it, to an unknown folder.
    """
    if tokenizer != "bytes" and "://" not in tokenizer and not os.path.isabs(tokenizer):
        raise ValueError(
            f"the run's config.json names its tokenizer by a relative path, {tokenizer}: write "
            "the full path there (data.tokenizer)"
        )
    return tokenizer


def has_style(folder: epath.PathLike) -> bool:
    """Return True if a style was trained in this run."""
    return (epath.Path(folder) / "style" / "checkpoints").exists()


def run_style(folder: epath.PathLike) -> Style:
    """Return the style of the newest checkpoint of a run of the `style` stage.

    Args:
      folder: work directory of the stage, such as `runs/demo/style`.

    Raises:
      FileNotFoundError: the folder holds no run, or no checkpoint yet.
      ValueError: the run is of another stage.
    """
    run = load_run(folder)
    if run.experiment.stage != "style":
        raise ValueError(f"{folder} is the stage {run.experiment.stage!r}, not a style")
    rank = run.experiment.train.low_rank
    settings: dict[str, Any] = {"rank": rank, "steps": run.step, "name": run.experiment.name}
    if rank:
        return Style(factors=run.params["low_rank"], settings=settings)
    return Style(weights=run.params["unet"], settings=settings)


def _stage_folders(folder: epath.Path) -> dict[str, epath.Path]:
    """Return the folders of the stages of a cascade, by their names in the model."""
    if (folder / "config.json").exists():
        return {"ssr" if folder.name in last_first("ssr") else "base": folder}
    found = {}
    for role in ("base", "ssr"):
        trained = [
            folder / stage
            for stage in last_first(role)
            if (folder / stage / "checkpoints").exists()
        ]
        if trained:
            found[role] = trained[0]
    return found


def _settings(experiment: Experiment) -> StageConfig:
    data = experiment.data
    settings = StageConfig(
        diffusion=experiment.diffusion,
        sampler=experiment.sampler,
        frames=data.clip_frames,
        size=data.size,
    )
    refining = experiment.super_resolution
    return settings if refining is None else refining.stage_config(settings)


def _check_one_text_encoder(runs: dict[str, Run]) -> None:
    """Raise a ValueError if a stage was trained with another text encoder than the first."""
    first = next(iter(runs.values()))
    for name, run in runs.items():
        if run.experiment.text is None:
            continue
        same = first.experiment.text == run.experiment.text and all(
            np.array_equal(a, b)
            for a, b in zip(*(jax.tree.leaves(each.params["text"]) for each in (first, run)))
        )
        if not same:
            raise ValueError(
                f"stage {run.experiment.stage!r} was trained with another text encoder than "
                f"{first.experiment.stage!r}: train {name} again with it"
            )


class Run(NamedTuple):
    """Contents of a work directory.

    Attributes:
      experiment: settings of the run; `.model` and `.text` describe the networks of `params`.
      params: `{"unet": …, "text": …}`, float32: the moving average of the trained parameters, and
        the frozen parameters.
      step: step of the checkpoint.
    """

    experiment: Experiment
    params: Params
    step: int


def load_run(folder: epath.PathLike, *, mesh: Mesh | None = None) -> Run:
    """Return the settings and averaged parameters of a stage's newest undamaged checkpoint.

    Args:
      folder: work directory of one stage, such as `runs/demo/base`.
      mesh: mesh that the parameters are placed on; the experiment's mesh when None, or one device
        where that mesh does not fit this machine.

    Raises:
      FileNotFoundError: the folder holds no run, or no checkpoint yet.
      ValueError: every checkpoint is damaged.
    """
    folder = epath.Path(folder)
    experiment = read_experiment(folder / "config.json")
    mesh = mesh or _mesh_of(experiment)
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


def _mesh_of(experiment: Experiment) -> Mesh:
    try:
        return make_mesh(experiment.mesh)
    except ValueError:  # a run of a pod, read on a laptop
        return make_mesh(devices=jax.devices()[:1])


def load_params(source: epath.PathLike, *, mesh: Mesh, text: bool = True) -> Params:
    """Return the parameters that a new stage starts from.

    Args:
      source: work directory of a stage, or model folder, such as `lumiere_jax.convert` makes of an
        image model; of a model folder the first stage of the cascade is read.
      mesh: mesh that the parameters are placed on.
      text: True to read the text encoder too, if the model has one.

    Returns:
      The parameters `{"unet": …, "text": …}`, float32.

    Raises:
      FileNotFoundError: the folder is neither.
      ValueError: a model folder without a U-Net, or a run without an undamaged checkpoint.
    """
    source = epath.Path(source)
    if not (source / "model.json").exists():
        return load_run(source, mesh=mesh).params
    description = describe_model(source)
    stages = stage_names(description)
    if not stages:
        raise ValueError(f"{source} has a text encoder and no U-Net to start from")
    first = stages[0]
    names = [first, *(["text"] if text and "text" in description.parts else [])]

    def shardings(shapes):
        return storage_shardings(shapes, mesh)

    model = read_model(
        source, only=names, shardings=dict.fromkeys(names, shardings), dtype=jnp.float32
    )
    return {"unet" if name == first else name: part.params for name, part in model.parts.items()}
