"""Results of earlier plans, by a hash of everything that they depend on."""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from typing import Any

import jax
import jaxlib

import lumiere_jax
from lumiere_jax.json_files import read_json
from lumiere_jax.planner.libtpu import libtpu_version
from lumiere_jax.video.new_file import replaced_file

FOLDER = "~/.cache/lumiere_jax/plan"


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that compile a program."""
    return {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "libtpu": libtpu_version()}


class Cache:
    """A folder of JSON files.

    Args:
      folder: folder of the files; made by the first.
    """

    def __init__(self, folder: str = FOLDER):
        self._folder = pathlib.Path(folder).expanduser()

    def read(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """Return the stored answer to a question; None if there is none, or it is damaged.

        Args:
          question: everything that the answer depends on, for JSON, besides this package and the
            versions.
        """
        path = self._path(question)
        try:
            return read_json(path)["answer"]
        except (OSError, ValueError, KeyError):
            return None

    def write(self, question: dict[str, Any], answer: dict[str, Any]) -> None:
        """Store an answer, whole or not at all; a folder that cannot be written to stores nothing.

        Args:
          question: question, see `read`.
          answer: answer, for JSON.
        """
        text = json.dumps({"question": question, "answer": answer}, indent=1)
        try:
            with replaced_file(self._path(question)) as path:
                path.write_text(text, encoding="utf-8")
        except OSError:
            return

    def _path(self, question: dict[str, Any]) -> pathlib.Path:
        everything = {"question": question, "sources": _sources(), "versions": versions()}
        text = json.dumps(everything, sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


@functools.cache
def _sources() -> str:
    """Return a hash of this package's files: another version of it traces another program."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(lumiere_jax.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
