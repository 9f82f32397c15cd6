"""The cascade: text → base clip → super-resolution, arrays in, a video out.

Every application of Lumiere is the same call with other arrays: (text, observed video, mask,
start). See `applications/`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from lumiere_jax.diffusion import SamplerConfig
from lumiere_jax.models import Network, Params, network
from lumiere_jax.models.ssr import downsample
from lumiere_jax.parallel import storage_shardings
from lumiere_jax.stage import Stage, StageSettings
from lumiere_jax.text import Text, Tokenizer, open_tokenizer
from lumiere_jax.weights import Model, Part, from_json

Conditioning = Literal["trained", "free"]
ARRAYS = ("observed", "mask", "source", "low_resolution")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSettings:
    """How prompts become tokens.

    Attributes:
      tokenizer: "bytes", or the path of a SentencePiece model.
      length: tokens that a prompt is padded or cut to.
    """

    tokenizer: str = "bytes"
    length: int = 77


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to make.

    Attributes:
      prompts: one a clip.
      seeds: one a clip; a clip depends on its own seed alone.
      negative: negative prompt of all clips; the null text by default.
      frames: of each clip; what the base was trained on when None.
      observed: [b, t, h, w, 3] in [−1, 1] at output resolution, blank (0) where nothing is known.
      mask: [b, t, h, w, 1], 1 where `observed` holds. Its pixels are kept at every stage.
      source: [b, t, h, w, 3] in [−1, 1], a clip that denoising starts from, at any size.
      strength: in (0, 1], how far towards noise `source` is taken.
      shots: texts of the base's windows, several shots in one clip; one list a clip.
      conditioning: "trained": the base was fine-tuned on observed videos, and is shown this one.
        "free": it is not shown, only kept. None: "trained" where the base can.
      low_resolution: [b, t, h, w, 3] in [−1, 1]: skip the base, and refine this clip.

    Arrays whose b is 1 serve all clips.

    Raises:
      ValueError: fields that do not fit each other, or are out of range.
    """

    prompts: Sequence[str]
    seeds: Sequence[int]
    negative: str = ""
    frames: int | None = None
    observed: Float[np.ndarray, "b t h w 3"] | None = None
    mask: Float[np.ndarray, "b t h w 1"] | None = None
    source: Float[np.ndarray, "b t h w 3"] | None = None
    strength: float = 1.0
    shots: Sequence[Sequence[str]] | None = None
    conditioning: Conditioning | None = None
    low_resolution: Float[np.ndarray, "b t h w 3"] | None = None

    def __post_init__(self):
        if not self.prompts or len(self.prompts) != len(self.seeds):
            raise ValueError(
                f"{len(self.prompts)} prompts and {len(self.seeds)} seeds: give one a clip"
            )
        if not 0 < self.strength <= 1:
            raise ValueError(f"--strength={self.strength} is outside (0, 1]; 0.6 is a good start")
        if (self.observed is None) != (self.mask is None):
            raise ValueError("observed and mask belong together: give both or neither")
        if self.conditioning not in (None, "trained", "free"):
            raise ValueError(
                f"--conditioning={self.conditioning} is neither trained nor free; try free"
            )
        for name in ARRAYS:
            array = getattr(self, name)
            if array is not None and array.shape[0] not in (1, len(self.prompts)):
                raise ValueError(
                    f"{name} holds {array.shape[0]} clips for {len(self.prompts)} prompts: "
                    "give one a prompt, or one for all"
                )


class Cascade:
    """A text encoder and stages, coarse to fine.

    Attributes:
      stages: the base, then super-resolutions.
      mesh: devices that the windows of a clip are spread over (its axis `context`).
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        encoder: tuple[Network, Params] | None = None,
        text: TextSettings | None = None,
        *,
        mesh: Mesh | None = None,
    ):
        self.stages, self.mesh = tuple(stages), mesh
        self._encoder, self._text = encoder, text or TextSettings()
        self._tokenizer: Tokenizer = open_tokenizer(self._text.tokenizer)

    @classmethod
    def from_model(cls, model: Model, *, dtype=None, mesh: Mesh | None = None) -> Cascade:
        """The cascade of a model folder (see `weights.read_model`).

        Args:
          dtype: compute dtype; by the device when None.
          mesh: devices to sample on, see `parallel.make_mesh`; the default device when None.
        """
        names = model.settings.get("stages", [name for name in model.parts if name != "text"])
        stages = [_stage(name, model.parts[name], dtype, mesh) for name in names]
        if "text" not in model.parts:
            return cls(stages, mesh=mesh)
        part = model.parts["text"]
        text = from_json(TextSettings, part.settings, "model.json: text")
        encoder = network(part.config, dtype=dtype), _placed(part.params, mesh)
        return cls(stages, encoder, text, mesh=mesh)

    @property
    def base(self) -> Stage:
        """The stage that makes a clip from noise."""
        return self.stages[0]

    @property
    def size(self) -> int:
        """Pixels on the short side of the result."""
        return self.stages[-1].settings.size

    @property
    def unit(self) -> int:
        """The sides of a canvas that is not square are multiples of this many pixels."""
        factors = (
            stage.network.config.spatial_factor * max(1, self.size // stage.settings.size)
            for stage in self.stages
        )
        return math.lcm(*factors)

    def with_settings(self, changes: Mapping[str, Mapping[str, Any]]) -> Cascade:
        """The same networks with other settings of some stages: `{"ssr": {"window": 8}}`.

        Raises:
          ValueError: there is no such stage.
        """
        self.check_names(changes)
        stages = [stage.with_settings(**changes.get(stage.name, {})) for stage in self.stages]
        return Cascade(stages, self._encoder, self._text, mesh=self.mesh)

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
        """Makes the clips of a request.

        Args:
          request: what to make.
          params: by stage name, instead of the stage's own.
          samplers: by stage name, instead of the stage's own.
          progress: a bar a stage on the terminal.
          preview_every: denoising steps between two calls of `on_preview`; 0 for none.
          on_preview: gets (stage name, step, clips uint8 [b, t, h, w, 3]).

        Returns:
          The clips by stage, the last one being the result.
        """
        samplers, params = dict(samplers or {}), dict(params or {})
        self.check_names([*samplers, *params])
        self._check_request(request)
        clips, made = request.low_resolution, {}
        context = contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)
        with context:
            for stage in self._stages_of(request):
                sampler = samplers.get(stage.name, stage.settings.sampler)
                with _Listening(stage, sampler, progress, on_preview):
                    options = {"sampler": sampler, "preview_every": preview_every}
                    options["params"] = params.get(stage.name)
                    clips = self._sample_stage(stage, request, clips, options)
                    made[stage.name] = to_uint8(clips)
        return made

    def check_names(self, names: Iterable[str]) -> None:
        """Raises a ValueError that names a stage that is not there."""
        unknown = sorted(set(names) - {stage.name for stage in self.stages})
        if unknown:
            known = ", ".join(stage.name for stage in self.stages)
            raise ValueError(f"this model has no stage {unknown[0]!r}; its stages are {known}")

    def encode(self, prompts: Sequence[str]) -> Text | None:
        """Embeddings of the prompts; None for a model without text."""
        if self._encoder is None:
            return None
        encoder, params = self._encoder
        tokens = self._tokenizer.encode(list(prompts), self._text.length)
        return Text(encoder.apply(params, *map(jnp.asarray, tokens)), jnp.asarray(tokens.mask))

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
        # A stage draws the same noise whether or not the ones before it had to run.
        index = self.stages.index(stage)
        keys = jnp.stack([jax.random.fold_in(jax.random.key(s), index) for s in request.seeds])
        arrays = dict(zip(("observed", "mask"), shrink(request.observed, request.mask, size)))
        if stage.refines:
            arrays["low_resolution"] = jnp.asarray(clips, jnp.float32)
        else:
            options["told"] = request.conditioning != "free"
            options["window_texts"] = self._shots(stage, request, frames)
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
        if request.shots is None:
            return None
        count = len(stage.plan(frames))
        texts = [self.encode(_spread(shots, count)) for shots in request.shots]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *texts)


class _Listening:
    """A progress bar over a stage's denoising steps while its clips are made."""

    def __init__(self, stage: Stage, sampler: SamplerConfig, progress: bool, on_preview):
        self._stage, self._on_preview = stage, on_preview
        steps = len(sampler.times()) - 1
        self._bar = tqdm(total=steps, desc=stage.name, unit="step", disable=not progress)

    def __enter__(self):
        self._stage.progress = lambda step: self._bar.update(1)
        if self._on_preview is not None:
            name = self._stage.name
            self._stage.preview = lambda step, clip: self._on_preview(name, step, to_uint8(clip))

    def __exit__(self, *_):
        jax.effects_barrier()
        self._bar.close()
        self._stage.progress = lambda step: None
        self._stage.preview = lambda step, clip: None


def _stage(name: str, part: Part, dtype, mesh: Mesh | None) -> Stage:
    settings = from_json(StageSettings, part.settings, f"model.json: {name}")
    return Stage(name, network(part.config, dtype=dtype), _placed(part.params, mesh), settings)


def _placed(params: Params, mesh: Mesh | None) -> Params:
    if mesh is None:
        return params
    return jax.device_put(params, storage_shardings(params, mesh))


def _spread(shots: Sequence[str], windows: int) -> list[str]:
    """A text for each window: the shots in order, each as long as the others."""
    if not shots or len(shots) > windows:
        raise ValueError(
            f"{len(shots)} prompts for {windows} windows: give at most one a window, "
            "or ask for more --frames"
        )
    return [shots[i * len(shots) // windows] for i in range(windows)]


def _for_all(array, clips: int):
    """The array of one clip for all of them."""
    return None if array is None else jnp.broadcast_to(array, (clips, *array.shape[1:]))


def to_uint8(clips: Float[Array, "..."]) -> UInt8[np.ndarray, "..."]:
    """[−1, 1] → 0 … 255, rounded."""
    scaled = jnp.round((jnp.clip(jnp.asarray(clips), -1, 1) + 1) * 127.5)
    return np.asarray(scaled.astype(jnp.uint8))


def from_uint8(clips: UInt8[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """0 … 255 → [−1, 1]."""
    return np.asarray(clips, np.float32) / 127.5 - 1


def shrink(observed, mask, size: int):
    """Observed video and mask at a stage's size.

    The video shrinks by area, the mask by minimum: a pixel counts as observed only where all that
    it stands for is.
    """
    if observed is None:
        return None, None
    factor = _factor(observed, size)
    return shrink_area(observed, size), _blocks(mask, factor).min((3, 5))


def shrink_area(clip: Float[Array, "b t h w c"], size: int) -> Float[Array, "b t i j c"]:
    """The clip with a short side of `size` pixels, each the mean of those it stands for."""
    return downsample(jnp.asarray(clip, jnp.float32), _factor(clip, size))


def _factor(clip, size: int) -> int:
    short = min(clip.shape[2:4])
    if short % size:
        raise ValueError(
            f"a clip of {short} pixels on the short side does not shrink to {size} by a whole "
            f"factor: resize it to {max(1, round(short / size)) * size}"
        )
    return short // size


def _blocks(clip, factor: int):
    b, t, h, w, c = clip.shape
    clip = jnp.asarray(clip, jnp.float32)
    return clip.reshape(b, t, h // factor, factor, w // factor, factor, c)
