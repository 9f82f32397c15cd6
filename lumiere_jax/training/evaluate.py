"""What a run is measured by: the loss on fixed clips and noise, and clips from fixed prompts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from lumiere_jax.diffusion.composition import compose
from lumiere_jax.diffusion.denoiser import denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.sampling import sample
from lumiere_jax.parallel.processes import global_batch
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.text.tokenizers import open_tokenizer
from lumiere_jax.text.unread import find_unread
from lumiere_jax.training.data import open_evaluation_batches
from lumiere_jax.training.metric_writer import MetricWriter, say
from lumiere_jax.training.objective import Objective
from lumiere_jax.training.state import Params, State, merge_params
from lumiere_jax.training.super_resolution import measure


class Evaluation:
    """Measures the averaged weights; must run under `jax.set_mesh(mesh)`."""

    def __init__(self, objective: Objective, mesh: Mesh):
        experiment = objective.experiment
        train = dataclasses.replace(experiment.train, text_dropout=0.0)
        experiment = dataclasses.replace(experiment, train=train)
        self._experiment, self._mesh = experiment, mesh
        self._objective = dataclasses.replace(objective, experiment=experiment)
        self._loss = jax.jit(self._batch_loss)
        self._sample = jax.jit(self._clips)
        self._refine = jax.jit(functools.partial(measure, self._objective))
        self._say_what_is_not_read(train.sample_prompts)

    def run(self, step: int, state: State, writer: MetricWriter) -> None:
        """Writes the evaluation loss and the sample clips of this step."""
        params = merge_params(state.frozen, state.ema)
        if self._experiment.train.evaluation_batches:
            writer.write(step, {"evaluation_loss": self.loss(params)})
        prompts = self._experiment.train.sample_prompts
        if self._experiment.super_resolution is not None:
            scores, clips = self.refined(params)
            writer.write(step, scores)
            writer.samples(step, clips, ["interpolated, refined, original"] * len(clips))
        elif prompts:
            writer.samples(step, self.clips(params, prompts), prompts)

    def _say_what_is_not_read(self, prompts: Sequence[str]) -> None:
        """Say once of each sample prompt what the text encoder cannot read of it."""
        data = self._experiment.data
        if not prompts or self._experiment.text is None:
            return
        tokenizer = open_tokenizer(data.tokenizer)
        for prompt in prompts:
            lost = find_unread(tokenizer, prompt, data.text_length)
            if lost is not None:
                say(f"--config.train.sample_prompts: {lost}")

    def loss(self, params: Params) -> float:
        """Mean loss on the evaluation batches; the same clips, times and noise every time."""
        losses = []
        with open_evaluation_batches(self._experiment, self._mesh) as batches:
            for index in range(self._experiment.train.evaluation_batches):
                batch = next(batches)
                batch.pop("record", None)
                losses.append(self._loss(params, global_batch(batch, self._mesh), np.int32(index)))
        return float(np.mean(jax.device_get(losses)))

    def clips(self, params: Params, prompts: Any) -> UInt8[np.ndarray, "b t h w c"]:
        """A clip of each prompt, from the same noise every time."""
        data = self._experiment.data
        tokenizer = open_tokenizer(data.tokenizer)
        tokens = tokenizer.encode(list(prompts), data.text_length)
        return np.asarray(jax.device_get(self._sample(params, tokens)))

    def refined(self, params: Params) -> tuple[dict[str, float], UInt8[np.ndarray, "b t h w c"]]:
        """PSNR of the first evaluation batch refined, and the clips beside the original ones."""
        with open_evaluation_batches(self._experiment, self._mesh) as batches:
            batch = next(batches)
        batch.pop("record", None)
        key = jax.random.key(self._experiment.seed + 2)
        scores, clips = self._refine(params, global_batch(batch, self._mesh), key)
        return jax.device_get((scores, _to_uint8(clips)))

    def _batch_loss(self, params: Params, batch: dict[str, Array], index: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(self._experiment.seed + 1), index)
        return self._objective.loss(params, batch, key)[0]

    def _clips(self, params: Params, tokens: Tokens) -> Float[Array, "b t h w c"]:
        experiment, objective = self._experiment, self._objective
        data = experiment.data
        size, channels = data.clip_size, experiment.model.in_channels
        shape = (tokens.ids.shape[0], data.clip_frames, size, size, channels)
        key = jax.random.key(experiment.seed + 2)
        unet = objective.unet_params(params)
        predict = denoiser_from_network(objective.unet.apply, unet, experiment.diffusion)
        denoise = compose(
            predict,
            experiment.diffusion,
            experiment.sampler,
            null=self._text(params, jax.tree.map(jnp.asarray, objective.null)),
        )
        noise = jax.random.normal(key, shape)
        conditions = Conditions(text=self._text(params, tokens))
        clip = sample(denoise, noise, conditions, experiment.diffusion, experiment.sampler, key=key)
        return _to_uint8(clip)

    def _text(self, params: Params, tokens: Tokens | None) -> Text | None:
        if self._experiment.model.text_dim is None:
            return None
        return self._objective.encode(params, tokens)


def _to_uint8(clips: Float[Array, "b t h w c"]) -> UInt8[Array, "b t h w c"]:
    return jnp.round((jnp.clip(clips, -1, 1) + 1) * 127.5).astype(jnp.uint8)
