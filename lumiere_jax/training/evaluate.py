"""Evaluations during a run: the loss on fixed clips and noise, and clips of fixed prompts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, UInt8

from lumiere_jax.diffusion.denoiser import compose, denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.sampling import sample
from lumiere_jax.parallel.processes import global_batch
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.text.tokenizers import open_tokenizer
from lumiere_jax.text.unread import find_unread
from lumiere_jax.training.data import open_evaluation_batches, prompt_text
from lumiere_jax.training.metric_writer import MetricWriter, say
from lumiere_jax.training.objective import Objective
from lumiere_jax.training.state import Params, State, merge_params
from lumiere_jax.training.super_resolution import measure
from lumiere_jax.video.pixel_values import to_uint8


class Evaluation:
    """Evaluation of the averaged parameters; must run under `jax.set_mesh(mesh)`.

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
        self._loss = jax.jit(self._batch_loss)
        self._sample = jax.jit(self._clips)
        self._refine = jax.jit(functools.partial(measure, self._objective))
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
                losses.append(self._loss(params, global_batch(batch, self._mesh), np.int32(index)))
        return float(np.mean(jax.device_get(losses)))

    def clips(self, params: Params) -> UInt8[np.ndarray, "b t h w c"]:
        """Sample a clip of each sample prompt, from fixed noise.

        Args:
          params: all parameters.
        """
        return np.asarray(jax.device_get(self._sample(params, self._text)))

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
        key = jax.random.key(self._experiment.seed + 2)
        scores, clips = self._refine(params, global_batch(batch, self._mesh), key)
        return jax.device_get((scores, to_uint8(clips)))

    def _batch_loss(self, params: Params, batch: dict[str, Array], index: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(self._experiment.seed + 1), index)
        return self._objective.loss(params, batch, key)[0]

    def _clips(self, params: Params, text: Tokens | Text | None) -> UInt8[Array, "b t h w c"]:
        experiment, objective = self._experiment, self._objective
        data = experiment.data
        size, channels = data.clip_size, experiment.model.in_channels
        shape = (len(self._prompts), data.clip_frames, size, size, channels)
        key = jax.random.key(experiment.seed + 2)
        unet = objective.unet_params(params)
        predict = denoiser_from_network(objective.unet.apply, unet, experiment.diffusion)
        denoise = compose(
            predict,
            experiment.diffusion,
            experiment.sampler,
            null=objective.encode(params, jax.tree.map(jnp.asarray, objective.null)),
        )
        noise = jax.random.normal(key, shape)
        conditions = Conditions(text=objective.encode(params, text))
        clip = sample(denoise, noise, conditions, experiment.diffusion, experiment.sampler, key=key)
        return to_uint8(clip)
