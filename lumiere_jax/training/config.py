"""Configuration of a training run, a tree of frozen dataclasses.

The files in `configs/` build an `Experiment`; a work directory stores it as JSON; every leaf is a
flag: `--config.train.steps=100`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import Literal

from etils import epath

from lumiere_jax.checkpoints.migrations import current_version, migrate_experiment
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.json_files import check_unicode, plain_name, read_json
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.models.t5 import T5Config
from lumiere_jax.parallel.mesh import MeshConfig
from lumiere_jax.structure import (
    check_fields,
    check_range,
    check_whole,
    differences,
    from_dict,
    to_dict,
)
from lumiere_jax.training.optimizer import OptimizerConfig
from lumiere_jax.training.super_resolution import SuperResolutionConfig
from lumiere_jax.video.new_file import replaced_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The training loop.

    Attributes:
      steps: total number of steps; a finished run resumes if it is raised.
      trainable: regular expression, searched for in parameter paths; the parameters that match are
        trained: "." for all, "temporal" for the temporal half of an inflated model,
        "temporal|observation" for the conditional stage.
      low_rank: rank of a difference to the U-Net's matrices that is trained instead of them, under
        the name "low_rank" (`training.style`); 0 for none.
      start_from: run folder whose averaged parameters a new run starts from; when None, those of
        the stage that this one follows (`training.stages`).
      accumulate: number of micro-batches that the batch is divided into, for less memory.
      ema_decay: decay of the parameters' moving average; min(ema_decay, (1 + step) / (10 + step))
        is used.
      gradient_dtype: dtype in which devices sum the gradients of divided parameters; "bfloat16"
        moves half the bytes and rounds each sum (docs/notes/collectives.md).
      text_dropout: fraction of the clips that are trained with the null text.
      dtype: compute dtype, "float32" or "bfloat16"; when None, bfloat16 on accelerators and
        float32 on CPUs.
      remat: True to recompute activations in the backward pass: less memory, more time.
      log_every: steps between two lines of metrics.
      save_every: steps between two checkpoints; the last step is always saved.
      keep: number of newest checkpoints that are kept.
      evaluate_every: steps between two evaluations; 0 for none.
      evaluation_batches: number of batches of an evaluation, the same ones every time.
      sample_prompts: prompts of the clips sampled at each evaluation.
      stop_after_skipped: number of refused updates in a row after which training ends.
      stall_seconds: seconds of waiting for a batch after which the stacks of all threads are
        printed.
    """

    steps: int = 1000
    trainable: str = "."
    low_rank: int = 0
    start_from: str | None = None
    accumulate: int = 1
    ema_decay: float = 0.9999
    gradient_dtype: Literal["float32", "bfloat16"] = "float32"
    text_dropout: float = 0.1
    dtype: Literal["float32", "bfloat16"] | None = None
    remat: bool = False
    log_every: int = 50
    save_every: int = 1000
    keep: int = 3
    evaluate_every: int = 0
    evaluation_batches: int = 4
    sample_prompts: tuple[str, ...] = ()
    stop_after_skipped: int = 10
    stall_seconds: float = 300.0

    def __post_init__(self):
        some, or_none = (1, 10**9), (0, 10**9)  # steps: more than any run has
        check_fields(
            self,
            whole=dict.fromkeys(("steps", "save_every", "evaluate_every"), or_none)
            | dict.fromkeys(("log_every", "keep", "stop_after_skipped"), some)
            | {"low_rank": (0, 4096), "accumulate": (1, 1 << 20), "evaluation_batches": (0, 10**6)},
            ranges=dict.fromkeys(("ema_decay", "text_dropout"), (0, 1))
            | {"stall_seconds": (0.1, 1e6)},  # 11 days, which any timer can count
        )
        try:
            re.compile(self.trainable)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(
                f"trainable={self.trainable!r:.80} is not a regular expression ({error}); "
                "'.' trains all, 'temporal' the temporal half"
            ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """All settings of a training run.

    Attributes:
      name: name of the model.
      stage: stage that is trained; its work directory is `<workdir>/<stage>`.
      seed: seed of the initial parameters and of the noise; `data.seed` is the data's.
      model: architecture of the U-Net.
      text: architecture of the text encoder; None if the batches have embeddings, or no text.
      diffusion: schedule, prediction and loss weights.
      sampler: sampler of the clips made at evaluations, and the default of the finished model.
      super_resolution: low-resolution input of a super-resolution network; None for any other.
      frame_rate: frames per second of the clips.
      data: training clips and their batches.
      evaluation: clips that the loss is evaluated on; when None, the held-out half of the synthetic
        set, or the training clips of any other.
      train: training loop.
      optimizer: optimizer and learning rate.
      mesh: number of devices along each axis of the mesh.
    """

    name: str
    stage: str = "image"
    seed: int = 0
    model: UNetConfig
    text: T5Config | None = None
    diffusion: DiffusionConfig = dataclasses.field(default_factory=DiffusionConfig)
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    super_resolution: SuperResolutionConfig | None = None
    frame_rate: float = 16.0
    data: DataConfig
    evaluation: DataConfig | None = None
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)

    def __post_init__(self):
        check_range("frame_rate", self.frame_rate, 0.01, 1000)
        check_whole("seed", self.seed, 0, 2**32 - 1)
        plain_name(self.stage, "--config.stage")  # the name of a folder
        check_unicode(self.name)
        self._check_geometry()
        self._check_text()
        self._check_masks()
        self._check_super_resolution()
        accumulate = self.train.accumulate
        if accumulate < 1 or self.data.batch_size % accumulate:
            raise ValueError(
                f"--config.train.accumulate={accumulate} does not divide "
                f"--config.data.batch_size={self.data.batch_size}; 1 does"
            )

    def _check_geometry(self) -> None:
        """Raise a ValueError unless the U-Net's resizes divide the frames and the pixels."""
        data = self.data
        factors = (
            ("segment" if data.segment else "frames", data.clip_frames, self.model.temporal_factor),
            ("crop" if data.crop else "size", data.clip_size, self.model.spatial_factor),
        )
        for name, value, factor in factors:
            if value % factor == 0:
                continue
            if data.image_frames and name == "frames":
                raise ValueError(
                    "--config.data.image_frames=True gives single frames, which the temporal half "
                    "of --config.model cannot take: set --config.data.image_frames=False"
                )
            raise ValueError(
                f"--config.data.{name}={value} is not divisible by the model's factor of {factor}; "
                f"set --config.data.{name}={-(-value // factor) * factor}"
            )

    def _check_text(self) -> None:
        """Raise a ValueError unless the text encoder fits the data and the U-Net."""
        width = self.model.text_dim
        if self.text is not None and self.text.width != width:
            raise ValueError(
                f"--config.text.width={self.text.width}, but the U-Net reads "
                f"--config.model.text_dim={width}: make them equal"
            )
        if width is not None and self.text is None and self.data.text == "tokens":
            raise ValueError(
                "--config.data.text='tokens' needs a text encoder (--config.text); "
                "or set --config.data.text=embeddings"
            )

    def _check_masks(self) -> None:
        """Raise a ValueError unless a model that reads masks has them, and no other does."""
        if self.model.observed and self.data.masks is None:
            raise ValueError(
                "--config.model.observed=True needs masks: train the conditional stage "
                "(--config=…:conditional), or set data.masks to a MaskMixture"
            )
        if self.data.masks is not None and not self.model.observed:
            raise ValueError(
                "--config.data.masks needs a model that reads observed videos: "
                "set --config.model.observed=True"
            )

    def _check_super_resolution(self) -> None:
        """Raise a ValueError unless a super-resolution network has low-resolution clips."""
        if self.super_resolution is not None:
            self.super_resolution.check(self.model, self.data.clip_size)
        elif self.model.low_resolution:
            raise ValueError(
                "--config.model.low_resolution=True needs low-resolution clips: train stage "
                "ssr_image (--config=…:ssr_image), or set super_resolution to a "
                "SuperResolutionConfig"
            )


MAY_CHANGE = (
    "mesh.",
    "train.steps",
    "train.remat",
    "train.start_from",
    "train.log_every",
    "train.save_every",
    "train.keep",
    "train.evaluat",
    "train.sample",
    "sampler.",
    "super_resolution.sampling_augmentation",
    "super_resolution.overlap",
    "super_resolution.weights",
    "evaluation",
    "train.stop_after_skipped",
    "train.stall_seconds",
    "data.workers",
)
"""Settings that may change when a run is resumed: no earlier step depended on them."""


def read_experiment(path: epath.PathLike) -> Experiment:
    """Return the experiment of a work directory.

    Args:
      path: file `config.json` of the work directory.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is not JSON, or has an unknown setting.
    """
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path.parent} holds no training run (no {path.name})")
    advice = "checkpoints/<step>/_CHECKPOINT_METADATA has it too, as custom_metadata.experiment"
    found = migrate_experiment(read_json(path, advice=advice), str(path))
    return from_dict(Experiment, found, f"{path}: ")


def write_experiment(path: epath.PathLike, experiment: Experiment) -> None:
    """Write the experiment as JSON; the file is replaced whole or not at all.

    Args:
      path: file `config.json` of the work directory.
      experiment: settings of the run.
    """
    content = {"version": current_version()} | to_dict(_with_full_paths(experiment))
    text = json.dumps(content, indent=2, allow_nan=False)
    with replaced_file(path) as file:
        file.write_text(text + "\n")


def _with_full_paths(experiment: Experiment) -> Experiment:
    """Return the experiment with an absolute path of its tokenizer, valid from any folder."""
    data = experiment.data
    if data.tokenizer == "bytes" or "://" in data.tokenizer:
        return experiment
    data = dataclasses.replace(data, tokenizer=os.path.abspath(data.tokenizer))
    return dataclasses.replace(experiment, data=data)


def check_same_run(old: Experiment, new: Experiment, folder: epath.PathLike) -> None:
    """Raise a ValueError if a setting differs that earlier steps of a run depended on.

    Args:
      old: settings that the run was started with.
      new: settings that it is to be resumed with.
      folder: work directory, for the message.
    """
    changed = {
        key: values
        for key, values in differences(*map(_with_full_paths, (old, new))).items()
        if not key.startswith(MAY_CHANGE)
    }
    if changed:
        key, (before, after) = next(iter(changed.items()))
        others = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise ValueError(
            f"{folder} was started with {key}={before}, not {after}{others}: "
            f"pass --config.{key}={before}, or another --workdir"
        )
