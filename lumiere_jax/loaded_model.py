"""A loaded model: what every application needs of it."""

from __future__ import annotations

import copy
import dataclasses
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from lumiere_jax import __version__
from lumiere_jax.applications import media, regions
from lumiere_jax.cascade import Cascade, Request, from_uint8
from lumiere_jax.diffusion import SamplerConfig
from lumiere_jax.generated import Generated
from lumiere_jax.weights import Model, read_model, to_json
from lumiere_jax.weights.style import Style, read_style

Prompt = str | Sequence[str]
Made = Generated | list[Generated]

SAMPLING = ("params", "samplers", "progress", "preview_every", "on_preview")
"""Options of `Cascade.sample`; an application gets the others."""


class LoadedModel:
    """A cascade, its frame rate, and clips with recipes out of requests.

    Attributes:
      name: of the model.
      cascade: text encoder and stages.
      frame_rate: of its clips, in frames a second.
    """

    def __init__(self, model: Model, *, dtype: Any = None):
        self.name = str(model.settings.get("name", "lumiere"))
        self.frame_rate = float(model.settings.get("frame_rate", 16))
        self.cascade = Cascade.from_model(model, dtype=dtype)

    @classmethod
    def load(cls, folder: epath.PathLike, *, dtype: Any = None):
        """Loads a model folder (`model.json`), or the newest checkpoints of a training run.

        Args:
          folder: the folder of either.
          dtype: compute dtype; float32 on CPU and bfloat16 on accelerators when None.

        Raises:
          FileNotFoundError: the folder holds neither.
        """
        folder = epath.Path(folder)
        if not folder.exists():
            raise FileNotFoundError(f"--model={folder}: no such folder")
        if (folder / "model.json").exists():
            return cls(read_model(folder), dtype=dtype)
        from lumiere_jax.training.model import run_model

        return cls(run_model(folder), dtype=dtype)

    def make(
        self,
        request: Request,
        *,
        application: str = "text_to_video",
        details: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[Generated]:
        """Makes what a request asks for.

        Args:
          request: see `cascade.Request`.
          application: its name, for the recipe.
          details: of what was given, for the recipe.
          **options: those of `Cascade.sample`.
        """
        made = self.cascade.sample(request, **options)
        last = list(made)[-1]
        recipe = self._recipe(request, options.get("samplers") or {})
        recipe |= {"application": application} | dict(details or {})
        return [
            Generated(
                video=made[last][i],
                frame_rate=self.frame_rate,
                prompt=prompt,
                recipe=recipe | _row(request, i),
                stages={name: clips[i] for name, clips in made.items()},
            )
            for i, prompt in enumerate(request.prompts)
        ]

    def samplers(
        self, stages: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any
    ) -> dict[str, SamplerConfig]:
        """Each stage's sampler with some fields changed, such as `steps=20`.

        Args:
          stages: further changes of single stages, such as `{"ssr": {"steps": 10}}`.
          **changes: of all stages; guidance_scale of those that read text.
        """
        stages = stages or {}
        self.cascade.check_names(stages)
        chosen = {}
        for stage in self.cascade.stages:
            fields = dict(changes)
            if stage.network.config.text_dim is None:  # nothing to be guided by
                fields.pop("guidance_scale", None)
            fields |= stages.get(stage.name, {})
            chosen[stage.name] = dataclasses.replace(stage.settings.sampler, **fields)
        return chosen

    def with_settings(self, changes: Mapping[str, Mapping[str, Any]]):
        """The same model with other settings of some stages, such as `{"ssr": {"window": 8}}`."""
        changed = copy.copy(self)
        changed.cascade = self.cascade.with_settings(changes)
        return changed

    def base_alone(self):
        """The same model without its super-resolutions: smaller clips, much sooner."""
        alone = copy.copy(self)
        alone.cascade = copy.copy(self.cascade)
        alone.cascade.stages = self.cascade.stages[:1]
        return alone

    def _apply(
        self,
        application,
        prompt: Prompt,
        seed: int,
        options: dict[str, Any],
        *arrays: Any,
        details: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Made:
        """Splits the options between the application and `make`."""
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        sampling = {name: options.pop(name) for name in SAMPLING if name in options}
        shots = options.get("shots")
        if shots is not None and shots and isinstance(shots[0], str):
            options["shots"] = [list(shots)] * len(prompts)
        seeds = [seed + i for i in range(len(prompts))]
        request = application(prompts, seeds, *arrays, **settings, **options)
        name = application.__name__
        made = self.make(request, application=name, details=details, **sampling)
        return made[0] if isinstance(prompt, str) else made

    def _frames(self, frames: int | None, shots: Sequence[Any] | None = None) -> int:
        """How many to make: as the base was trained on, or enough for a window a shot.

        Raises:
          ValueError: fewer than one, or several of a model that makes single images.
        """
        if frames is not None and frames < 1:
            raise ValueError(
                f"--frames={frames} must be at least 1; leave it out to use the model's"
            )
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
        """As many frames of a video as asked for, or as there are of those the base makes."""
        wanted = self._frames(frames)
        clip = media.open_clip(video, frame_rate=self.frame_rate, frames=wanted)
        factor = self.cascade.base.network.config.temporal_factor
        whole = len(clip) // factor * factor
        if len(clip) < wanted and (frames is not None or not whole):
            raise ValueError(
                f"--frames={wanted}, but --video has {len(clip)} at {self.frame_rate:g} a second: "
                + (f"use --frames={whole}" if whole else f"it needs at least {factor}")
            )
        return clip if len(clip) == wanted else clip[:whole]

    def _fitted(self, clip: media.Clip) -> np.ndarray:
        return from_uint8(media.crop(clip, self.cascade.size))

    def _region(self, clip: media.Clip, mask: Any, boxes, polygons) -> regions.Region:
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
            stage.name: to_json(samplers.get(stage.name, stage.settings.sampler))
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


def _row(request: Request, index: int) -> dict[str, Any]:
    shots = None if request.shots is None else list(request.shots[index])
    return {"prompt": request.prompts[index], "shots": shots, "seed": int(request.seeds[index])}


def load_style(folder: epath.PathLike, *, flag: str = "--style") -> Style:
    """A style's folder (`style.json`), or what a run of the style stage has learnt so far.

    Args:
      folder: of either, or of the model or run that has it as its `style`.
      flag: that named the folder, for the error.

    Raises:
      FileNotFoundError: the folder holds neither.
    """
    folder = epath.Path(folder)
    for place in (folder / "style", folder):
        if (place / "style.json").exists():
            return read_style(place)
        if (place / "config.json").exists():
            from lumiere_jax.training.model import run_style

            return run_style(place)
    raise FileNotFoundError(
        f"{flag}={folder}: neither a style nor a run of the style stage; train one with "
        "python -m lumiere_jax.train --config=…:style"
    )
