"""The cascade: text → base clip → super-resolution, arrays in, a video out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, UInt8
from tqdm import tqdm

from lumiere_jax.checkpoints.model_folder import Model, Part, stage_names
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.models.network import Network, Params, network
from lumiere_jax.parallel.sharding import storage_shardings
from lumiere_jax.sampling.request import Request
from lumiere_jax.sampling.shrink import shrink, shrink_area
from lumiere_jax.sampling.stage import Stage
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.sampling.text import TextConfig, TextEncoder, shots_of_windows
from lumiere_jax.structure import from_dict
from lumiere_jax.text.text import Text
from lumiere_jax.text.unread import Unread
from lumiere_jax.video.pixel_values import to_uint8


class Cascade:
    """A text encoder and stages, coarse to fine.

    Attributes:
      stages: the base, then super-resolutions.
      mesh: devices that clips, and the windows or the frames' height of a clip, are divided over;
        the default device when None.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        encoder: tuple[Network, Params] | None = None,
        text: TextConfig | None = None,
        *,
        mesh: Mesh | None = None,
    ):
        self.stages, self.mesh = tuple(stages), mesh
        self._text = encoder, text or TextConfig()
        self._encode = TextEncoder(*self._text, mesh)

    @classmethod
    def from_model(cls, model: Model, *, dtype=None, mesh: Mesh | None = None) -> Cascade:
        """Make the cascade of a model.

        Args:
          model: model of a folder, see `checkpoints.read_model`, or of a run.
          dtype: compute dtype; by the device when None.
          mesh: devices to sample on, see `parallel.make_mesh`; the default device when None.
        """
        stages = [_stage(name, model.parts[name], dtype, mesh) for name in stage_names(model)]
        if "text" not in model.parts:
            return cls(stages, mesh=mesh)
        part = model.parts["text"]
        text = from_dict(TextConfig, part.settings, "model.json: text")
        encoder = network(part.config, dtype=dtype), _placed(part.params, mesh)
        return cls(stages, encoder, text, mesh=mesh)

    @property
    def encoder(self) -> tuple[Network, Params] | None:
        """Return the text encoder and its parameters; None for a cascade that reads no text."""
        return self._text[0]

    @property
    def base(self) -> Stage:
        """Return the stage that samples a clip from noise."""
        return self.stages[0]

    @property
    def size(self) -> int:
        """Return the pixels on the short side of the result."""
        return self.stages[-1].settings.size

    @property
    def unit(self) -> int:
        """Return the pixels that the sides of a canvas must be multiples of."""
        factors = (
            stage.network.config.spatial_factor * max(1, self.size // stage.settings.size)
            for stage in self.stages
        )
        return math.lcm(*factors)

    def with_config(self, changes: Mapping[str, Mapping[str, Any]]) -> Cascade:
        """Return the networks with other settings of some stages: `{"ssr": {"window": 8}}`.

        Args:
          changes: fields of `StageConfig` by stage.

        Raises:
          ValueError: there is no such stage.
        """
        self.check_names(changes)
        stages = [stage.with_config(**changes.get(stage.name, {})) for stage in self.stages]
        return Cascade(stages, *self._text, mesh=self.mesh)

    def sample(
        self,
        request: Request,
        *,
        params: Mapping[str, Params] | None = None,
        samplers: Mapping[str, SamplerConfig] | None = None,
        progress: bool = True,
        preview_every: int = 0,
        on_preview=None,
    ) -> dict[str, UInt8[np.ndarray, "b t h w 3"]]:
        """Sample the clips of a request.

        Args:
          request: prompts, seeds and given videos.
          params: parameters by stage, instead of the stages' own.
          samplers: samplers by stage, instead of the stages' own.
          progress: True for a progress bar per stage on the terminal.
          preview_every: denoising steps between two calls of `on_preview`; 0 for none.
          on_preview: function of (stage name, step, clips uint8 [b, t, h, w, 3]).

        Returns:
          Clips by stage; the last stage's are the result.

        Raises:
          ValueError: an unknown stage, or a request that does not fit the model.
        """
        samplers, params = dict(samplers or {}), dict(params or {})
        self.check_names([*samplers, *params])
        self._check_request(request)
        clips, made = request.low_resolution, {}
        for stage in self._stages_of(request):
            sampler = samplers.get(stage.name, stage.settings.sampler)
            with SamplingProgress(stage, sampler, progress, on_preview):
                options = {"sampler": sampler, "preview_every": preview_every}
                options["params"] = params.get(stage.name)
                clips = self._sample_stage(stage, request, clips, options)
                made[stage.name] = np.asarray(to_uint8(clips))
        return made

    def check_names(self, names: Iterable[str]) -> None:
        """Raise a ValueError that names a stage which the model does not have.

        Args:
          names: names of stages.
        """
        unknown = sorted(set(names) - {stage.name for stage in self.stages})
        if unknown:
            known = ", ".join(stage.name for stage in self.stages)
            raise ValueError(f"this model has no stage {unknown[0]!r}; its stages are {known}")

    def encode(self, prompts: Sequence[str]) -> Text | None:
        """Return the embeddings of prompts; None for a model without text."""
        return self._encode(prompts)

    def unread(self, text: str) -> Unread | None:
        """Return the part of a text that the encoder cannot read; None if it reads all of it."""
        return self._encode.unread(text)

    def _stages_of(self, request: Request) -> tuple[Stage, ...]:
        if request.low_resolution is None:
            return self.stages
        rest = tuple(stage for stage in self.stages if stage.refines)
        if not rest:
            raise ValueError("--upscale: this model has no super-resolution stage; add one")
        return rest

    def _check_request(self, request: Request) -> None:
        if request.conditioning == "trained" and not self.base.network.config.observed:
            raise ValueError(
                "--conditioning=trained: this model was not fine-tuned on observed videos; pass "
                "--conditioning=free, or train its conditional stage (--config=…:conditional)"
            )
        canvas = request.observed if request.observed is not None else request.source
        if canvas is None:
            return
        short = min(canvas.shape[2:4])
        for stage in self._stages_of(request):
            for side in canvas.shape[2:4]:
                pixels, rest = divmod(side * stage.settings.size, short)
                if rest or pixels % stage.network.config.spatial_factor:
                    raise ValueError(
                        f"a canvas of {canvas.shape[3]}×{canvas.shape[2]} pixels does not fit "
                        f"stage {stage.name!r}: make its sides multiples of {self.unit}"
                    )

    def _sample_stage(self, stage: Stage, request: Request, clips, options: dict[str, Any]):
        frames, size = self._frames(request, clips), stage.settings.size
        options["window_texts"] = self._shots(stage, request, frames)
        # A stage draws the same noise whether or not the ones before it had to run.
        index = self.stages.index(stage)
        keys = jnp.stack([jax.random.fold_in(jax.random.key(s), index) for s in request.seeds])
        arrays: dict[str, Any] = dict(
            zip(("observed", "mask"), shrink(request.observed, request.mask, size))
        )
        if stage.refines:
            arrays["low_resolution"] = jnp.asarray(clips, jnp.float32)
        else:
            options["told"] = request.conditioning != "free"
            if request.source is not None:
                arrays["source"] = shrink_area(request.source, size)
                options["strength"] = request.strength
        arrays = {name: _for_all(array, len(keys)) for name, array in arrays.items()}
        text, null = self.encode(request.prompts), self.encode([request.negative])
        return stage.sample(keys, text, null, frames=frames, **arrays, **options)

    def _frames(self, request: Request, clips) -> int:
        given = (clips, request.observed, request.source)
        found = {array.shape[1] for array in given if array is not None}
        found |= {request.frames} if request.frames else set()
        if len(found) > 1:
            raise ValueError(
                f"clips of {', '.join(map(str, sorted(found)))} frames were given: "
                "cut them to one length, or set --frames to it"
            )
        return found.pop() if found else self.stages[0].settings.frames

    def _shots(self, stage: Stage, request: Request, frames: int) -> Text | None:
        if request.shots is None or stage.network.config.text_dim is None:
            return None
        plans = stage.plan(frames), self._stages_of(request)[0].plan(frames)
        texts = [self.encode(shots_of_windows(shots, *plans)) for shots in request.shots]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *texts)


def _stage(name: str, part: Part, dtype, mesh: Mesh | None) -> Stage:
    settings = from_dict(StageConfig, part.settings, f"model.json: {name}")
    params = _placed(part.params, mesh)
    return Stage(name, network(part.config, dtype=dtype), params, settings, mesh)


def _placed(params: Params | None, mesh: Mesh | None) -> Params:
    if params is None:
        raise ValueError("this model was described and not read: use read_model")
    if mesh is None:
        # Those of a run may be divided over devices, and the network then computes on one.
        divided = any(
            len(x.sharding.device_set) > 1
            for x in jax.tree.leaves(params)
            if isinstance(x, jax.Array)
        )
        return jax.device_put(params, jax.devices()[0]) if divided else params
    return jax.device_put(params, storage_shardings(params, mesh))


def _for_all(array, clips: int):
    """Repeat an array of one clip for all clips."""
    return None if array is None else jnp.broadcast_to(array, (clips, *array.shape[1:]))


class SamplingProgress:
    """Context of a stage's progress bar and preview callback, which runs in a thread of its own.

    Args:
      stage: stage whose callbacks are set until the context ends.
      sampler: sampler whose steps the bar counts.
      progress: True to show the bar.
      on_preview: function of (stage name, step, clips uint8 [b, t, h, w, 3]); None for no previews.
    """

    def __init__(self, stage: Stage, sampler: SamplerConfig, progress: bool, on_preview):
        self._stage, self._on_preview = stage, on_preview
        steps = len(sampler.times()) - 1
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._previews: list[Future] = []
        self._bar = tqdm(total=steps, desc=stage.name, unit="step", disable=not progress)

    def __enter__(self):
        self._stage.progress = lambda step: self._bar.update(1)
        if self._on_preview is not None:
            self._stage.preview = lambda step, clip: self._previews.append(
                self._thread.submit(self._show, step, clip)
            )

    def _show(self, step: int, clip: Array) -> None:
        self._on_preview(self._stage.name, step, to_uint8(np.asarray(clip)))

    def __exit__(self, *_):
        jax.effects_barrier()
        self._bar.close()
        self._thread.shutdown()
        self._stage.progress = lambda step: None
        self._stage.preview = lambda step, clip: None
        for preview in self._previews:
            preview.result()  # raises what the callback raised
