"""One training run as a tree of frozen dataclasses.

The files in `configs/` build an `Experiment`; a work directory keeps it as JSON; every leaf is a
flag: `--config.train.steps=100`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import Literal

from etils import epath

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
    """The loop around the step.

    Attributes:
      steps: updates in all; a finished run continues when this is raised.
      trainable: regular expression of parameter paths that are trained: "." for all, "temporal"
        for the temporal half of an inflated model, "temporal|observation" for the conditional one.
      low_rank: rank of a difference to the U-Net's matrices that is trained instead of them, under
        the name "low_rank" (`training.style`); 0 for none.
      start_from: run folder whose averaged weights a new run starts from; when None, a
        stage uses the one that it follows (`training.start.FOLLOWS`).
      accumulate: micro-batches a step; each is a share of the batch.
      ema_decay: of the weights' moving average; rises to it as (1 + step) / (10 + step).
      text_dropout: share of the clips that are trained with the null text.
      dtype: compute dtype, "float32" or "bfloat16"; by the device when None.
      remat: recompute activations in the backward pass: less memory, more time.
      log_every: steps between two lines of metrics.
      save_every: steps between two checkpoints; one is always saved at the end.
      keep: checkpoints kept.
      evaluate_every: steps between two evaluations; 0 never.
      evaluation_batches: batches of each, the same every time.
      sample_prompts: of the clips generated at each evaluation.
      stop_after_skipped: refused updates in a row after which training gives up.
      stall_seconds: without a batch, after which the stacks of all threads are printed.
    """

    steps: int = 1000
    trainable: str = "."
    low_rank: int = 0
    start_from: str | None = None
    accumulate: int = 1
    ema_decay: float = 0.9999
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
        some, or_none = (1, 10**9), (0, 10**9)  # steps: more than any run has made
        check_fields(
            self,
            whole=dict.fromkeys(("steps", "save_every", "evaluate_every"), or_none)
            | dict.fromkeys(("log_every", "keep", "stop_after_skipped"), some)
            | {"low_rank": (0, 4096), "accumulate": (1, 1 << 20), "evaluation_batches": (0, 10**6)},
            ranges=dict.fromkeys(("ema_decay", "text_dropout"), (0, 1))
            | {"stall_seconds": (0.1, 1e6)},  # a timer of the operating system: eleven days
        )
        try:
            re.compile(self.trainable)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(
                f"trainable={self.trainable!r:.80} is no regular expression ({error}); "
                "'.' trains all, 'temporal' the temporal half"
            ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides what a training run computes.

    Attributes:
      name: of the model.
      stage: of the cascade; its work directory is `<workdir>/<stage>`.
      seed: of the weights and of the noise; the data has its own.
      model: the U-Net.
      text: the text encoder; None where the batches carry embeddings.
      diffusion: schedule, prediction and loss.
      sampler: of the clips made at evaluations, and of the finished model by default.
      super_resolution: what a model that refines is given; None for any other.
      frame_rate: of the clips, in frames a second.
      data: clips and their batches.
      evaluation: clips that the loss is measured on; None is the held-out half of the synthetic
        set, and the training clips of any other.
      train: the loop.
      optimizer: from gradients to updates.
      mesh: devices along each axis.
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
        plain_name(self.stage, "--config.stage")  # a folder of the run
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
        """Frames and pixels that the U-Net's resizes divide."""
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
        """A text encoder that fits the tokens on one side and the U-Net on the other."""
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
        """Masks for the model that reads them, and for no other."""
        if self.model.observed and self.data.masks is None:
            raise ValueError(
                "--config.model.observed=True needs masks: train the conditional stage "
                "(--config=…:conditional), or set data.masks to a MaskMixture"
            )
        if self.data.masks is not None and not self.model.observed:
            raise ValueError(
                "--config.data.masks says what a model observes, but this one reads nothing "
                "observed: set --config.model.observed=True"
            )

    def _check_super_resolution(self) -> None:
        """A model that refines is given something to refine."""
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
"""Settings that may change when a run is continued: no step done so far depended on them."""


def read_experiment(path: epath.PathLike) -> Experiment:
    """Return the experiment that a work directory was started with.

    Args:
      path: its `config.json`.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is not JSON, or holds a setting that this program does not know.
    """
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path.parent} holds no training run (no {path.name})")
    advice = "checkpoints/<step>/_CHECKPOINT_METADATA has it too, as custom_metadata.experiment"
    return from_dict(Experiment, read_json(path, advice=advice), f"{path}: ")


def write_experiment(path: epath.PathLike, experiment: Experiment) -> None:
    """Keep the experiment beside its checkpoints; the file is replaced whole or not at all."""
    text = json.dumps(to_dict(_with_full_paths(experiment)), indent=2, allow_nan=False)
    with replaced_file(path) as file:
        file.write_text(text + "\n")


def _with_full_paths(experiment: Experiment) -> Experiment:
    """Return the experiment with a tokenizer that is found again from any folder."""
    data = experiment.data
    if data.tokenizer == "bytes" or "://" in data.tokenizer:
        return experiment
    data = dataclasses.replace(data, tokenizer=os.path.abspath(data.tokenizer))
    return dataclasses.replace(experiment, data=data)


def check_same_run(old: Experiment, new: Experiment, folder: epath.PathLike) -> None:
    """A run is continued with the settings that it was started with.

    Raises:
      ValueError: a setting differs that earlier steps depended on.
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
