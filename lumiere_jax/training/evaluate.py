"""Evaluations during a run: the loss on fixed clips and noise, and clips of fixed prompts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, UInt8

from lumiere_jax.diffusion.denoiser import compose, denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.sampling import sample
from lumiere_jax.parallel.collectives import mean_over_batch
from lumiere_jax.parallel.mesh import BATCH_AXES
from lumiere_jax.parallel.processes import global_batch
from lumiere_jax.parallel.rows import device_rows, map_rows
from lumiere_jax.parallel.sharding import divisions_of
from lumiere_jax.sampling.stage import folded, frame_noise, normal
from lumiere_jax.text.tokenizers import open_tokenizer
from lumiere_jax.text.unread import find_unread
from lumiere_jax.training.data import open_evaluation_batches, prompt_text
from lumiere_jax.training.metric_writer import MetricWriter, say
from lumiere_jax.training.objective import Objective
from lumiere_jax.training.state import Params, State, merge_params
from lumiere_jax.training.super_resolution import measure
from lumiere_jax.video.pixel_values import to_uint8


class Evaluation:
    """Evaluation of the averaged parameters, each device with its rows of the clips.

    Args:
      objective: networks of the run.
      mesh: devices of the run.

    Raises:
      ValueError: a sample prompt of a run with stored embeddings that has none.
    """

    def __init__(self, objective: Objective, mesh: Mesh):
        experiment = objective.experiment
        train = dataclasses.replace(experiment.train, text_dropout=0.0)
        experiment = dataclasses.replace(experiment, train=train)
        self._experiment, self._mesh = experiment, mesh
        self._objective = dataclasses.replace(objective, experiment=experiment)
        self._programs: Programs | None = None
        self._prompts = train.sample_prompts
        # Read now: a prompt without an embedding is not to be found out after hours of training.
        self._text = prompt_text(experiment, self._prompts) if self._prompts else None
        self._report_unread(self._prompts)

    def run(self, step: int, state: State, writer: MetricWriter) -> None:
        """Write the evaluation loss and the sample clips of a step.

        Args:
          step: number of the step.
          state: state after that many steps.
          writer: log that the results go to.
        """
        params = merge_params(state.frozen, state.ema)
        if self._experiment.train.evaluation_batches:
            writer.write(step, {"evaluation_loss": self.loss(params)})
        if self._experiment.super_resolution is not None:
            scores, clips = self.refined(params)
            writer.write(step, scores)
            writer.samples(step, clips, ["interpolated, refined, original"] * len(clips))
        elif self._prompts:
            writer.samples(step, self.clips(params), self._prompts)

    def _report_unread(self, prompts: Sequence[str]) -> None:
        """Print what the text encoder cannot read of each sample prompt."""
        data = self._experiment.data
        if not prompts or self._experiment.text is None:
            return
        tokenizer = open_tokenizer(data.tokenizer)
        for prompt in prompts:
            lost = find_unread(tokenizer, prompt, data.text_length)
            if lost is not None:
                say(f"--config.train.sample_prompts: {lost}")

    def loss(self, params: Params) -> float:
        """Return the mean loss on the evaluation batches; clips, times and noise are fixed.

        Args:
          params: all parameters.
        """
        losses = []
        with open_evaluation_batches(self._experiment, self._mesh) as batches:
            for index in range(self._experiment.train.evaluation_batches):
                batch = next(batches)
                batch.pop("record", None)
                placed = global_batch(batch, self._mesh)
                losses.append(self._compiled(params).loss(params, placed, np.int32(index)))
        return float(np.mean(jax.device_get(losses)))

    def clips(self, params: Params) -> UInt8[np.ndarray, "b t h w c"]:
        """Sample a clip of each sample prompt, from fixed noise.

        Args:
          params: all parameters.
        """
        rows = {"number": np.arange(len(self._prompts)), "text": self._text}
        return np.asarray(jax.device_get(self._compiled(params).clips(params, rows)))

    def refined(
        self, params: Params
    ) -> tuple[dict[str, Float[np.ndarray, ""]], UInt8[np.ndarray, "b t h w c"]]:
        """Refine the first evaluation batch; return its PSNR, and the clips side by side.

        Args:
          params: all parameters.
        """
        with open_evaluation_batches(self._experiment, self._mesh) as batches:
            batch = next(batches)
        batch.pop("record", None)
        placed = global_batch(batch, self._mesh)
        scores, clips = self._compiled(params).refined(params, placed)
        return jax.device_get((scores, to_uint8(clips)))

    def _compiled(self, params: Params) -> Programs:
        """Return the programs for parameters that are placed as these are."""
        if self._programs is None:
            self._programs = _programs(self._objective, params, self._mesh)
        return self._programs


class Programs(NamedTuple):
    """Compiled functions of the parameters and of rows that the devices divide.

    Attributes:
      loss: (params, batch, number of the batch) -> mean loss.
      clips: (params, {"number": [n], "text": …}) -> uint8 clips [n, t, h, w, c].
      refined: (params, batch) -> scores, and clips side by side; see `super_resolution.measure`.
    """

    loss: Callable[..., Array]
    clips: Callable[..., Array]
    refined: Callable[..., tuple[dict[str, Array], Array]]


def _programs(objective: Objective, params: Params, mesh: Mesh) -> Programs:
    local = objective.on_mesh(divisions_of(params), mesh)
    seed = objective.experiment.seed
    specs = jax.tree.map(lambda leaf: leaf.sharding.spec, params)
    over_devices = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)

    def loss(params: Params, batch: dict[str, Array], index: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(seed + 1), index)
        rows = device_rows(len(batch["video"]))
        return mean_over_batch(local.loss(params, batch, key, rows)[0])

    def refined(params: Params, batch: dict[str, Array]) -> tuple[dict[str, Array], Array]:
        rows = device_rows(len(batch["video"]))
        return measure(local, params, batch, jax.random.key(seed + 2), rows)

    clips = functools.partial(_sample_clips, local)
    rows = P(BATCH_AXES)
    return Programs(
        loss=jax.jit(over_devices(loss, in_specs=(specs, rows, P()), out_specs=P())),
        clips=jax.jit(map_rows(clips, mesh, specs)),
        refined=jax.jit(over_devices(refined, in_specs=(specs, rows), out_specs=(P(), rows))),
    )


def _sample_clips(
    objective: Objective, params: Params, rows: dict[str, Any]
) -> UInt8[Array, "b t h w c"]:
    """Sample clips of texts; a clip depends on the number of its row and on no other row."""
    experiment = objective.experiment
    data = experiment.data
    size = data.clip_size
    shape = (data.clip_frames, size, size, experiment.model.in_channels)
    key = jax.random.key(experiment.seed + 2)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(rows["number"])
    predict = denoiser_from_network(
        objective.unet.apply, objective.unet_params(params), experiment.diffusion
    )
    null = objective.encode(params, jax.tree.map(jnp.asarray, objective.null))
    denoise = compose(predict, experiment.diffusion, experiment.sampler, null=null)
    return to_uint8(
        sample(
            denoise,
            normal(folded(keys, 0), shape),
            Conditions(text=objective.encode(params, rows["text"])),
            experiment.diffusion,
            experiment.sampler,
            noise_at=lambda step: frame_noise(folded(folded(keys, 1), step), shape),
        )
    )
