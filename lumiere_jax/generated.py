"""A generated clip, and the files that it is saved as."""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import re
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.video.contact_sheet import write_contact_sheet
from lumiere_jax.video.new_file import new_files, next_free, refuse_existing
from lumiere_jax.video.write import generated_by, write_gif, write_mp4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """One clip with all that is needed to generate it again.

    Attributes:
      video: uint8 frames [t, h, w, 3].
      frame_rate: frames a second.
      prompt: text that the clip was generated from.
      recipe: model, application, seed, samplers, …, as in the JSON beside the clip.
      stages: clip after each stage of the cascade, uint8 [t, h, w, 3], by the stage's name.
    """

    video: UInt8[np.ndarray, "t h w 3"]
    frame_rate: float
    prompt: str
    recipe: Mapping[str, Any]
    stages: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def save(self, stem: epath.PathLike, *, gif: bool = False) -> list[epath.Path]:
        """Write `stem`.mp4 (or .png for a single frame), its contact sheet and its recipe.

        Args:
          stem: path without an ending; its folder is made if it is missing.
          gif: True to write a GIF as well.

        Returns:
          Paths of the files.

        Raises:
          FileExistsError: one of the files exists; nothing is overwritten or left behind.
        """
        stem = epath.Path(stem)
        for ending in self._endings(gif):  # before the encoding, which takes time
            refuse_existing(stem.parent / f"{stem.name}{ending}")
        with new_files(stem.parent) as publish:
            return publish(self._write(publish.folder, gif), stem.name)

    def save_numbered(self, folder: epath.PathLike, *, gif: bool = False) -> list[epath.Path]:
        """Write the files of `save` under the next free number: clip-00007 after clip-00006.

        If another program takes the same number at the same time, both clips are kept.

        Args:
          folder: output folder; made if it is missing.
          gif: True to write a GIF as well.
        """
        folder = epath.Path(folder)
        with new_files(folder) as publish:
            written = self._write(publish.folder, gif)
            return next_free(lambda n: publish(written, numbered(n)), next_number(folder))

    def _write(self, folder: pathlib.Path, gif: bool) -> list[pathlib.Path]:
        """Write the files of the clip into a folder, as `clip` and their endings; return them."""
        paths = [folder / f"clip{ending}" for ending in self._endings(gif)]
        for path in paths:
            if path.suffix == ".mp4":
                model = str(self.recipe.get("model", "lumiere_jax"))
                tags = generated_by(model, self.prompt, details=f"seed {self.recipe.get('seed')}")
                write_mp4(path, self.video, self.frame_rate, metadata=tags)
            elif path.suffix == ".gif":
                write_gif(path, self.video, self.frame_rate)
            elif path.suffix == ".png":
                write_contact_sheet(path, [self.video], captions=[self.prompt])
            else:
                path.write_text(json.dumps(self.recipe, indent=2) + "\n", encoding="utf-8")
        return paths

    def _endings(self, gif: bool) -> list[str]:
        moving = [".mp4"] if len(self.video) > 1 else []
        return [*moving, *([".gif"] if gif else []), ".png", ".json"]

    def _repr_html_(self) -> str:
        """Return the clip as HTML, for notebooks."""
        with tempfile.TemporaryDirectory() as folder:
            path = epath.Path(folder) / "clip.gif"
            write_gif(path, self.video, self.frame_rate)
            data = base64.b64encode(path.read_bytes()).decode()
        return f'<img src="data:image/gif;base64,{data}" alt="generated clip">'


def numbered(number: int) -> str:
    """Return the name of a numbered clip: prompts are not used as file names."""
    return f"clip-{number:05d}"


def next_number(folder: epath.PathLike) -> int:
    """Return one more than the largest number of the clips in a folder, whatever their endings."""
    folder = epath.Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    found = [re.match(r"clip-(\d{1,9})(?!\d)", name) for name in names]
    return max((int(match[1]) for match in found if match), default=-1) + 1
