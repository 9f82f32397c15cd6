"""The list of clips that could not be read, and of those that stood in for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from etils import epath


class Quarantine:
    """Each unreadable clip once; also as lines of JSON, where a file is given.

    Attributes:
      entries: {"record", "substitute", "reason"} in the order in which they were met.

    Args:
      path: grows by a line a clip; what earlier runs wrote stays, and is not written again.
    """

    def __init__(self, path: epath.PathLike | None = None):
        self._path = epath.Path(path) if path is not None else None
        self.entries: list[dict[str, Any]] = []
        self._known: set[int] = set()
        if self._path is not None and self._path.is_file():
            self._note(json.loads(line) for line in self._path.read_text().splitlines())

    def add(self, failures: Iterable[dict[str, Any]]) -> None:
        """Notes failures that are not known yet."""
        new = self._note(failures)
        if new and self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write("".join(json.dumps(entry) + "\n" for entry in new))

    def _note(self, failures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        new = []
        for entry in failures:
            if entry["record"] not in self._known:
                self._known.add(entry["record"])
                new.append(dict(entry))
        self.entries += new
        return new
