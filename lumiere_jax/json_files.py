"""Read JSON from untrusted files, within limits, and with errors that name the file.

A file may be an error page, empty, cut short, or made to exhaust the parser; each of those is a
ValueError of one line. Duplicate keys, NaN, half surrogate pairs and deep nesting are refused,
since programs differ in how they read them.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from etils import epath

MAXIMUM_BYTES = 256 << 20  # an index of 30 million clips has 50 MB
MAXIMUM_DEPTH = 64  # the files that this program writes nest six deep


def parse_json(data: bytes | str, where: str, *, nan: bool = False) -> Any:
    """Return the value that a JSON text holds.

    Args:
      data: UTF-8 text, with or without a byte order mark.
      where: file (and line) for the error messages.
      nan: True to accept NaN and Infinity, which Python writes for a loss that diverged.

    Raises:
      ValueError: `data` is not one JSON value; the message is one line that begins with `where`.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not JSON: it is not UTF-8 ({error})") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=None if nan else _no_constant
        )
        _check_depth_and_text(value)
    except RecursionError:
        raise ValueError(f"{where} nests deeper than {MAXIMUM_DEPTH} levels") from None
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {_describe(text, error)}") from None
    return value


def read_json(path: epath.PathLike, *, kind: type = dict, advice: str = "") -> Any:
    """Read a JSON file.

    Args:
      path: path of the file.
      kind: type of the value: `dict` for an object, `list` for an array.
      advice: remedy for a wrong file, appended to error messages.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is not a regular file, not JSON, or of another kind.
    """
    advice = f"; {advice}" if advice else ""
    try:
        value = parse_json(read_bytes(path), str(path))
    except ValueError as error:
        raise ValueError(f"{error}{advice}") from None
    if not isinstance(value, kind):
        names = {dict: "an object", list: "an array"}
        found = names.get(type(value), f"the value {value!r:.40}")
        raise ValueError(f"{path} holds {found}, expected {names[kind]}{advice}")
    return value


def read_json_lines(path: epath.PathLike) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) of every readable line of a log that this program wrote.

    A line that is not a JSON object is skipped: a power cut leaves half lines and zero bytes.
    """
    for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
        try:
            value = parse_json(line, f"{path}: line {number}", nan=True)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield number, value


def read_bytes(path: epath.PathLike, limit: int = MAXIMUM_BYTES) -> bytes:
    """Read a whole untrusted file.

    Args:
      path: path of the file.
      limit: largest size that is read, in bytes.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the path is a device, a pipe or a folder, or the file is larger than `limit`.
    """
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    check_regular(path)
    data = bytearray()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):  # one read of the limit would allocate all of it
            data += piece
            if len(data) > limit:
                raise ValueError(
                    f"{path} is larger than {limit >> 20} MiB; it cannot be what it should be"
                )
    return bytes(data)


def check_regular(path: epath.PathLike) -> None:
    """Raise a ValueError unless the path is a regular file: opening a pipe would block."""
    path = epath.Path(path)
    local = "://" not in str(path)
    if not (stat.S_ISREG(os.stat(path).st_mode) if local else path.is_file()):
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise ValueError(f"{path} is {kind}, expected a file")


def plain_name(name: Any, where: str) -> str:
    """Return a file name that a file lists, once it is known to stay in that file's folder.

    Args:
      name: value to check.
      where: file and key of the name, for the error message.

    Raises:
      ValueError: `name` is not a string, or leads elsewhere: `..`, a path, an address.
    """
    bad = not isinstance(name, str) or name in ("", ".", "..") or any(c in name for c in "/\\\0:")
    if bad or not name.isprintable() or len(name.encode()) > 255:
        raise ValueError(f"{where}: {name!r:.80} must be the plain name of a file in that folder")
    return name


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.80} comes twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON has")


def _check_depth_and_text(value: Any) -> None:
    """Raise an error for deep nesting and half surrogate pairs; not recursive itself."""
    level, depth = [value], 0
    while level:
        if (depth := depth + 1) > MAXIMUM_DEPTH:
            raise RecursionError
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                deeper += [*item, *item.values()]
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, str) and not item.isascii():
                check_unicode(item)
        level = deeper


def check_unicode(text: str) -> None:
    """Raise a ValueError for text with half of a surrogate pair, which UTF-8 cannot encode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start + 1} is half of a surrogate pair") from None


def _describe(text: str, error: ValueError) -> str:
    start = text.lstrip()[:40].splitlines()
    if not start:
        return "it is empty"
    if start[0].startswith("<"):
        return f"it begins with {start[0]!r}, like a web page"
    if "Exceeds the limit" in str(error):
        return "a number has thousands of digits"
    return str(error)
