"""A loaded model: the parts that all applications share."""

from __future__ import annotations

import copy
import dataclasses
import functools
import platform
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.sharding import Mesh
from jaxtyping import Bool

from lumiere_jax import __version__
from lumiere_jax.applications import media, regions
from lumiere_jax.checkpoints.model_folder import Model, describe_model, read_model
from lumiere_jax.checkpoints.style import Style, read_style
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.generated import Generated
from lumiere_jax.parallel.mesh import make_mesh
from lumiere_jax.parallel.sharding import storage_shardings
from lumiere_jax.sampling.cascade import Cascade
from lumiere_jax.sampling.request import Request, check_seed
from lumiere_jax.structure import check_whole, suggest, to_dict
from lumiere_jax.text.reading import clean
from lumiere_jax.video.pixel_values import from_uint8

Prompt = str | Sequence[str]
Made = Generated | list[Generated]

SAMPLING = ("params", "samplers", "progress", "preview_every", "on_preview")
"""Options that go to `Cascade.sample`."""
SHARED = ("negative", "shots", "conditioning")
"""Options that become fields of the `Request`."""
MAXIMUM_FRAMES = 20_000
"""Most frames of a clip, which is kept in memory: 20 minutes at 16 fps are 4 GB at 128 × 128."""


class Call(NamedTuple):
    """The part of a call that all applications have in common.

    Attributes:
      prompts: one per clip, clean.
      seeds: one per clip.
      fields: further fields of the `Request`.
      sampling: keyword arguments of `Cascade.sample`.
      shots: shots as they were given.
      single: True if one prompt was given and not a list.
    """

    prompts: list[str]
    seeds: list[int]
    fields: dict[str, Any]
    sampling: dict[str, Any]
    shots: Sequence[Any] | None
    single: bool


class LoadedModel:
    """A cascade, its frame rate, and the recipes of its clips.

    Attributes:
      name: name of the model.
      cascade: text encoder and stages.
      frame_rate: frames per second of its clips.
    """

    def __init__(self, model: Model, *, dtype: Any = None, mesh: Mesh | None = None):
        self.name = str(model.settings.get("name", "lumiere"))
        self.frame_rate = float(model.settings.get("frame_rate", 16))
        self.cascade = Cascade.from_model(model, dtype=dtype, mesh=mesh)
        self._warned: set[str] = set()  # texts that a warning about unread parts was printed for

    @classmethod
    def load(cls, folder: epath.PathLike, *, dtype: Any = None, mesh: Mesh | None = None):
        """Load a model folder (`model.json`), or the newest checkpoints of a training run.

        Args:
          folder: folder of either.
          dtype: compute dtype; float32 on CPU and bfloat16 on accelerators when None.
          mesh: devices to sample on, see `parallel.make_mesh`; each gets its part of every
            parameter as it is read. The default device when None.

        Raises:
          FileNotFoundError: the folder holds neither.
        """
        folder = epath.Path(folder)
        if not folder.exists():
            raise FileNotFoundError(f"--model={folder}: no such folder")
        if (folder / "model.json").exists():
            return cls(
                read_model(folder, shardings=_shardings(folder, mesh)), dtype=dtype, mesh=mesh
            )
        from lumiere_jax.training.runs import run_model

        places = mesh or make_mesh(devices=jax.local_devices()[:1])
        return cls(run_model(folder, mesh=places), dtype=dtype, mesh=mesh)

    def make(
        self,
        request: Request,
        *,
        application: str = "text_to_video",
        details: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[Generated]:
        """Sample the clips of a request.

        Args:
          request: prompts, seeds and given videos.
          application: name of the application, for the recipe.
          details: further entries of the recipe.
          **options: options of `Cascade.sample`.
        """
        unread = self._warn_of_unread(request)
        made = self.cascade.sample(request, **options)
        last = list(made)[-1]
        recipe = self._recipe(request, options.get("samplers") or {})
        recipe |= {"application": application} | dict(details or {})
        return [
            Generated(
                video=made[last][i],
                frame_rate=self.frame_rate,
                prompt=prompt,
                recipe=recipe | _row(request, i, unread),
                stages={name: clips[i] for name, clips in made.items()},
            )
            for i, prompt in enumerate(request.prompts)
        ]

    def samplers(
        self, stages: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any
    ) -> dict[str, SamplerConfig]:
        """Return each stage's sampler with some fields changed, such as `steps=20`.

        Args:
          stages: further changes of single stages, such as `{"ssr": {"steps": 10}}`.
          **changes: changes of all stages; guidance_scale changes only those that read text.

        Raises:
          ValueError: no such stage or field.
        """
        stages = stages or {}
        self.cascade.check_names(stages)
        known = [field.name for field in dataclasses.fields(SamplerConfig)]
        for name in [*changes, *(name for fields in stages.values() for name in fields)]:
            if name not in known:
                raise ValueError(f"a sampler has no field {name!r}{suggest(name, known)}")
        chosen = {}
        for stage in self.cascade.stages:
            fields = dict(changes)
            if stage.network.config.text_dim is None:  # nothing to be guided by
                fields.pop("guidance_scale", None)
            fields |= stages.get(stage.name, {})
            chosen[stage.name] = dataclasses.replace(stage.settings.sampler, **fields)
        return chosen

    def with_config(self, changes: Mapping[str, Mapping[str, Any]]):
        """Return the model with other settings of some stages, such as `{"ssr": {"window": 8}}`.

        Args:
          changes: fields of `StageConfig` by stage.
        """
        changed = copy.copy(self)
        changed.cascade = self.cascade.with_config(changes)
        return changed

    def base_alone(self):
        """Return the model without its super-resolutions: smaller clips in much less time."""
        alone = copy.copy(self)
        alone.cascade = copy.copy(self.cascade)
        alone.cascade.stages = self.cascade.stages[:1]
        return alone

    def _call(self, prompt: Prompt, seed: int, options: Mapping[str, Any]) -> Call:
        """Check what all applications have in common, and return it.

        Args:
          prompt: one prompt or several.
          seed: seed of the first clip.
          options: options of every method of `Lumiere`.

        Raises:
          TypeError: an option that no application has.
          ValueError: a prompt that is not text, or a seed out of range.
        """
        prompts = _texts(prompt, "--prompt")
        for name in options:
            if name not in (*SAMPLING, *SHARED):
                near = suggest(name, (*SAMPLING, *SHARED))
                raise TypeError(f"there is no option {name!r}{near}")
        sampling = {name: options[name] for name in SAMPLING if name in options}
        fields = {name: options[name] for name in SHARED if name in options}
        if fields.get("negative") is not None:
            fields["negative"] = _texts([fields["negative"]], "--negative_prompt")[0]
        shots = fields.get("shots")
        if shots:
            same = isinstance(shots[0], str)  # for all clips
            lists = [shots] * len(prompts) if same else shots
            fields["shots"] = [_texts(list(each), "--shot") for each in lists]
        check_seed(seed)
        seeds = [seed + i for i in range(len(prompts))]
        return Call(prompts, seeds, fields, sampling, shots, isinstance(prompt, str))

    def _generate(
        self,
        call: Call,
        request: Request,
        application: str,
        details: Mapping[str, Any] | None = None,
    ) -> Made:
        """Sample the clips of a request; return one for a single prompt, a list for several."""
        made = self.make(request, application=application, details=details, **call.sampling)
        return made[0] if call.single else made

    def _warn_of_unread(self, request: Request) -> dict[str, str]:
        """Warn once per text about parts that the model cannot read; return those by text."""
        shots = [text for texts in request.shots or () for text in texts]
        texts = [*request.prompts, request.negative, *shots]
        unread = {}
        for text in dict.fromkeys(texts):
            lost = self.cascade.unread(text)
            if lost is not None:
                unread[text] = str(lost)
                if text not in self._warned:
                    self._warned.add(text)
                    logging.warning("%s", lost)
        return unread

    def _frames(self, frames: int | None, shots: Sequence[Any] | None = None) -> int:
        """Return the number of frames: those the base was trained on, or a window per shot.

        Raises:
          ValueError: fewer than one, or several of a model that makes single images.
        """
        if frames is not None:
            check_whole("--frames", frames, 1, MAXIMUM_FRAMES)
        settings, config = self.cascade.base.settings, self.cascade.base.network.config
        if frames is None:
            window = settings.window or settings.frames
            shots = 1 if not shots else len(shots) if isinstance(shots[0], str) else len(shots[0])
            frames = window + (shots - 1) * (window - settings.overlap)
        if frames > 1 and config.temporal is None:
            raise ValueError(
                f"--frames={frames}: this model makes single images; train its base stage "
                "(--config=…:base), or use --application=text_to_video --frames=1"
            )
        return frames

    def _clip(self, video: Any, frames: int | None) -> media.Clip:
        """Return the first frames of a video: those asked for, or as many as the base makes."""
        wanted = self._frames(frames)
        clip = media.open_clip(video, frame_rate=self.frame_rate, frames=wanted)
        factor = self.cascade.base.network.config.temporal_factor
        whole = len(clip) // factor * factor
        if len(clip) < wanted and (frames is not None or not whole):
            raise ValueError(
                f"--frames={wanted}, but --video has {len(clip)} at {self.frame_rate:g} a second: "
                + (f"use --frames={whole}" if whole else f"it needs at least {factor}")
            )
        if len(clip) == wanted:
            return clip
        if whole < len(clip):
            logging.warning(
                "--video has %d frames at %g a second, and the model makes multiples of %d: the "
                "last %d are left out",
                *(len(clip), self.frame_rate, factor, len(clip) - whole),
            )
        return clip[:whole]

    def _fitted(self, clip: media.Clip) -> np.ndarray:
        return from_uint8(media.crop(clip, self.cascade.size))

    def _region(self, clip: media.Clip, mask: Any, boxes, polygons) -> Bool[np.ndarray, "k i j"]:
        return regions.open_region(
            clip.shape[:3],
            self.cascade.size,
            frame_rate=self.frame_rate,
            mask=mask,
            boxes=boxes,
            polygons=polygons,
        )

    def _recipe(self, request: Request, samplers: Mapping[str, SamplerConfig]) -> dict[str, Any]:
        used = {
            stage.name: to_dict(samplers.get(stage.name, stage.settings.sampler))
            for stage in self.cascade.stages
        }
        return {
            "generated": True,
            "model": self.name,
            "application": None,
            "prompt": None,
            "negative_prompt": request.negative,
            "frames": request.frames,
            "frame_rate": self.frame_rate,
            "strength": request.strength,
            "conditioning": request.conditioning,
            "samplers": used,
            "made_with": {
                "lumiere_jax": __version__,
                "jax": jax.__version__,
                "python": platform.python_version(),
                "device": jax.devices()[0].device_kind,
            },
        }


def _shardings(folder: epath.Path, mesh: Mesh | None) -> dict[str, Any] | None:
    """Return the storage rule of each network of a model folder; None for the default device."""
    if mesh is None:
        return None
    return dict.fromkeys(
        describe_model(folder).parts, functools.partial(storage_shardings, mesh=mesh)
    )


def _row(request: Request, index: int, unread: Mapping[str, str]) -> dict[str, Any]:
    shots = None if request.shots is None else list(request.shots[index])
    row = {"prompt": request.prompts[index], "shots": shots, "seed": int(request.seeds[index])}
    texts = (request.prompts[index], request.negative, *(shots or ()))
    lost = [unread[text] for text in dict.fromkeys(texts) if text in unread]
    return row | ({"not_read": lost} if lost else {})


def _texts(given: Any, flag: str) -> list[str]:
    """Return one text or several as a list of clean texts.

    Raises:
      ValueError: something else than text, or none.
    """
    texts = [given] if isinstance(given, str) else given
    good = isinstance(texts, Sequence) and len(texts) and all(isinstance(t, str) for t in texts)
    if not good:
        raise ValueError(f"{flag}={given!r:.80}: give a text, or a list of one text a clip")
    try:
        return [clean(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


def load_style(folder: epath.PathLike, *, flag: str = "--style") -> Style:
    """Load a style from a folder (`style.json`), or from a run of the style stage.

    Args:
      folder: folder of either, or of the model or run that it belongs to.
      flag: flag that named the folder, for the error.

    Raises:
      FileNotFoundError: the folder holds neither.
    """
    folder = epath.Path(folder)
    for place in (folder / "style", folder):
        if (place / "style.json").exists():
            return read_style(place)
        if (place / "config.json").exists():
            from lumiere_jax.training.runs import run_style

            return run_style(place)
    raise FileNotFoundError(
        f"{flag}={folder}: neither a style nor a run of the style stage; train one with "
        "python -m lumiere_jax.train --config=…:style"
    )
