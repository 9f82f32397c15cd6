"""The folder of an evaluation: what was made so far, and under which settings.

settings.json     the protocol of every section, written before its work begins
arrays/*.npz      clips and features; what is there is not made again
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
from lumiere_jax.video.new_file import check_output, new_file, replaced_file

Section = Mapping[str, Any]


class ResultsFolder:
    """Keeps arrays and results; results of other settings are never mixed or written over.

    Attributes:
      path: the folder.

    Raises:
      ValueError: it holds something else than an evaluation.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path)
        check_output(self.path)
        there = [path.name for path in self.path.iterdir()] if self.path.exists() else []
        if set(there) - {LOCK} and not self._settings.exists():
            raise ValueError(
                f"--output={self.path} is not empty and holds no evaluation: name another folder"
            )

    @property
    def _settings(self) -> epath.Path:
        return self.path / "settings.json"

    def claim(self, sections: Mapping[str, Section]) -> None:
        """Writes down the settings of these sections, by name.

        Raises:
          ValueError: one of them is there under other settings; the first difference is named.
        """
        known, told = _read(self._settings), json.loads(json.dumps(sections))
        for name, protocol in told.items():
            if name in known and known[name] != protocol:
                raise ValueError(
                    f"--output={self.path} holds {name} of other settings "
                    f"({_difference(known[name], protocol)}): name another --output"
                )
        _write(self._settings, known | told)

    def has(self, name: str) -> bool:
        """Whether this array is there."""
        return self._array(name).exists()

    def keep(self, name: str, array: np.ndarray) -> None:
        """Writes an array, whole or not at all."""
        with new_file(self._array(name)) as target, open(target, "wb") as file:
            np.savez_compressed(file, array=array)

    def read(self, name: str) -> np.ndarray:
        """Read an array that is there.

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
        """An array, made only where it is not there yet."""
        if not self.has(name):
            self.keep(name, make())
        return self.read(name)

    def write(self, results: Mapping[str, Section]) -> epath.Path:
        """Writes sections of evaluation.json; others that are there stay."""
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
    """Write the file whole or not at all."""
    with replaced_file(path) as target:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target.write_text(text, encoding="utf-8")
