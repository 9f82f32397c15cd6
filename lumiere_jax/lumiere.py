"""The Python face: load a model, one method an application.

model = Lumiere.load("models/demo")
clip = model.text_to_video("a red circle bounces on a dark background", seed=0)
clip.save("clips/circle")
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from etils import epath

from lumiere_jax import __version__, applications
from lumiere_jax.cascade import Cascade, Request
from lumiere_jax.diffusion import SamplerConfig
from lumiere_jax.generated import Generated
from lumiere_jax.weights import Model, read_model, to_json

Prompt = str | Sequence[str]


class Lumiere:
    """A loaded cascade.

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
    def load(cls, folder: epath.PathLike, *, dtype: Any = None) -> Lumiere:
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

    def text_to_video(self, prompt: Prompt, *, seed: int = 0, **options: Any):
        """Clips of a prompt, or of each of a list of prompts.

        Args:
          prompt: one or several.
          seed: of the first clip; the others count on from it.
          **options: those of `applications.text_to_video` (negative, frames, shots) and of
            `make` (samplers, progress, preview_every, on_preview).

        Returns:
          A `Generated`, or a list of them where a list was given.
        """
        return self._apply(applications.text_to_video, prompt, seed, options)

    def make(
        self, request: Request, *, application: str = "text_to_video", **options: Any
    ) -> list[Generated]:
        """Makes what a request asks for.

        Args:
          request: see `cascade.Request`.
          application: its name, for the recipe.
          **options: those of `Cascade.sample`.
        """
        made = self.cascade.sample(request, **options)
        last = list(made)[-1]
        return [
            Generated(
                video=made[last][i],
                frame_rate=self.frame_rate,
                prompt=prompt,
                recipe=self._recipe(request, i, application, options.get("samplers") or {}),
                stages={name: clips[i] for name, clips in made.items()},
            )
            for i, prompt in enumerate(request.prompts)
        ]

    def samplers(self, **changes: Any) -> dict[str, SamplerConfig]:
        """Each stage's sampler with these fields changed, such as `steps=20`."""
        return {
            stage.name: dataclasses.replace(stage.settings.sampler, **changes)
            for stage in self.cascade.stages
        }

    def _apply(self, application, prompt: Prompt, seed: int, options: dict[str, Any], **arrays):
        """Splits the options between the application and `make`."""
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        making = {
            name: options.pop(name)
            for name in ("samplers", "progress", "preview_every", "on_preview")
            if name in options
        }
        seeds = [seed + i for i in range(len(prompts))]
        request = application(prompts, seeds, **arrays, **options)
        made = self.make(request, application=application.__name__, **making)
        return made[0] if isinstance(prompt, str) else made

    def _recipe(
        self, request: Request, index: int, application: str, samplers: Mapping[str, SamplerConfig]
    ) -> dict[str, Any]:
        used = {
            stage.name: to_json(samplers.get(stage.name, stage.settings.sampler))
            for stage in self.cascade.stages
        }
        return {
            "generated": True,
            "model": self.name,
            "application": application,
            "prompt": request.prompts[index],
            "negative_prompt": request.negative,
            "shots": None if request.shots is None else list(request.shots[index]),
            "seed": int(request.seeds[index]),
            "frames": request.frames,
            "frame_rate": self.frame_rate,
            "strength": request.strength,
            "samplers": used,
            "made_with": {
                "lumiere_jax": __version__,
                "jax": jax.__version__,
                "python": platform.python_version(),
                "device": jax.devices()[0].device_kind,
            },
        }
