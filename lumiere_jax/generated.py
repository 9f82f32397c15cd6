"""A generated clip and the files it becomes."""

from __future__ import annotations

import base64
import dataclasses
import json
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.video import generated_by, new_file, write_contact_sheet, write_gif, write_mp4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """One clip with what it takes to make it again.

    Attributes:
      video: uint8 [t, h, w, 3].
      frame_rate: in frames a second.
      prompt: what was asked for.
      recipe: model, application, seed, samplers, …; goes into the JSON beside the clip.
      stages: the clip after each stage of the cascade, by name.
    """

    video: UInt8[np.ndarray, "t h w 3"]
    frame_rate: float
    prompt: str
    recipe: Mapping[str, Any]
    stages: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def save(self, stem: epath.PathLike, *, gif: bool = False) -> list[epath.Path]:
        """Writes `stem`.mp4 (or .png for a single frame), its contact sheet and its recipe.

        Args:
          stem: path without an ending; its folder is made where it is missing.
          gif: a GIF as well.

        Returns:
          The files written.

        Raises:
          FileExistsError: one of them is there already; nothing is written over.
        """
        stem = epath.Path(stem)
        stem.parent.mkdir(parents=True, exist_ok=True)
        paths = {end: stem.parent / f"{stem.name}{end}" for end in self._endings(gif)}
        for path in paths.values():
            if path.exists():
                raise FileExistsError(f"{path} exists already: name another --output")
        if ".mp4" in paths:
            model = str(self.recipe.get("model", "lumiere_jax"))
            tags = generated_by(model, self.prompt, details=f"seed {self.recipe.get('seed')}")
            write_mp4(paths[".mp4"], self.video, self.frame_rate, metadata=tags)
        if gif:
            write_gif(paths[".gif"], self.video, self.frame_rate)
        write_contact_sheet(paths[".png"], [self.video], captions=[self.prompt])
        with new_file(paths[".json"]) as target:
            epath.Path(target).write_text(json.dumps(self.recipe, indent=2) + "\n")
        return list(paths.values())

    def _endings(self, gif: bool) -> list[str]:
        moving = [".mp4"] if len(self.video) > 1 else []
        return [*moving, *([".gif"] if gif else []), ".png", ".json"]

    def _repr_html_(self) -> str:
        """The clip itself, where a notebook shows this object."""
        with tempfile.TemporaryDirectory() as folder:
            path = epath.Path(folder) / "clip.gif"
            write_gif(path, self.video, self.frame_rate)
            data = base64.b64encode(path.read_bytes()).decode()
        return f'<img src="data:image/gif;base64,{data}" alt="generated clip">'
