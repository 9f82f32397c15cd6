"""The folder of an evaluation: clips and features made so far, and the settings they depend on.

settings.json     the protocol of every section, written before its work begins
arrays/*.npz      clips and features; those that exist are not computed again
evaluation.json   the results
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath

from lumiere_jax.json_files import read_json
from lumiere_jax.only_writer import NAME as LOCK
from lumiere_jax.structure import flatten
from lumiere_jax.video.new_file import check_output, new_file, refuse_full, replaced_file

Section = Mapping[str, Any]


class ResultsFolder:
    """Arrays and results on disk; results of other settings are never mixed or overwritten.

    Attributes:
      path: the folder.

    Raises:
      FileExistsError: the folder is not empty and holds no evaluation.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path)
        check_output(self.path)
        if not self._settings.exists():
            refuse_full(self.path, besides=(LOCK,), expected="evaluation")

    @property
    def _settings(self) -> epath.Path:
        return self.path / "settings.json"

    def claim(self, sections: Mapping[str, Section]) -> None:
        """Store the settings of these sections, by name.

        Raises:
          ValueError: a section exists under other settings; the message names a difference.
        """
        stored, new = _read(self._settings), json.loads(json.dumps(sections))
        for name, protocol in new.items():
            if name in stored and stored[name] != protocol:
                raise ValueError(
                    f"--output={self.path} holds {name} of other settings "
                    f"({_difference(stored[name], protocol)}): name another --output"
                )
        _write(self._settings, stored | new)

    def has(self, name: str) -> bool:
        """Return whether this array exists."""
        return self._array(name).exists()

    def keep(self, name: str, array: np.ndarray) -> None:
        """Write an array atomically."""
        with new_file(self._array(name)) as target, open(target, "wb") as file:
            np.savez_compressed(file, array=array)

    def read(self, name: str) -> np.ndarray:
        """Read an array that exists.

        Raises:
          ValueError: its file is damaged.
        """
        try:
            with self._array(name).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return stored["array"]
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{self._array(name)} is damaged ({error}); delete it and run again"
            ) from None

    def array(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Read an array, after computing and writing it if it does not exist."""
        if not self.has(name):
            self.keep(name, make())
        return self.read(name)

    def write(self, results: Mapping[str, Section]) -> epath.Path:
        """Write sections of evaluation.json; other sections in it stay."""
        path = self.path / "evaluation.json"
        _write(path, _read(path) | dict(results))
        return path

    def _array(self, name: str) -> epath.Path:
        return self.path / "arrays" / f"{name}.npz"


def _difference(old: Section, new: Section) -> str:
    old, new = flatten(old), flatten(new)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return f"{names[0]} is {old.get(names[0])} there and {new.get(names[0])} here"


def _read(path: epath.Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _write(path: epath.Path, content: Mapping[str, Any]) -> None:
    """Write the file atomically."""
    with replaced_file(path) as target:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target.write_text(text, encoding="utf-8")
