"""The list of clips that could not be read, and of those that stood in for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from etils import epath

from lumiere_jax.json_files import read_bytes, read_json_lines


class Quarantine:
    """Each unreadable clip once; also as lines of JSON, where a file is given.

    Attributes:
      entries: {"record", "substitute", "reason"} in the order in which they were met.

    Args:
      path: grows by a line a clip; what earlier runs wrote stays, and is not written again. Lines
        that a power cut left unfinished are passed over.
    """

    def __init__(self, path: epath.PathLike | None = None):
        self._path = epath.Path(path) if path is not None else None
        self.entries: list[dict[str, Any]] = []
        self._known: set[int] = set()
        self._unfinished = False  # the last line: the next one begins after a line end
        if self._path is not None and self._path.is_file():
            self._note(entry for _, entry in read_json_lines(self._path) if _is_entry(entry))
            self._unfinished = read_bytes(self._path)[-1:] not in (b"", b"\n")

    def add(self, failures: Iterable[dict[str, Any]]) -> None:
        """Note failures that are not known yet."""
        new = self._note(failures)
        if new and self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write("\n" if self._unfinished else "")
                file.write("".join(json.dumps(entry) + "\n" for entry in new))
            self._unfinished = False

    def _note(self, failures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        new = []
        for entry in failures:
            if entry["record"] not in self._known:
                self._known.add(entry["record"])
                new.append(dict(entry))
        self.entries += new
        return new


def _is_entry(entry: dict[str, Any]) -> bool:
    numbers = (entry.get("record"), entry.get("substitute"))
    return all(type(number) is int for number in numbers) and isinstance(entry.get("reason"), str)
