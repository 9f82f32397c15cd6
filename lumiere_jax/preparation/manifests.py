r"""Read the rows of a manifest; a wrong row does not affect the others.

Lines end at \n or \r\n. Each row is returned with the number of its first line, and a row that
cannot be read as an error with the reason.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any

from etils import epath

from lumiere_jax.json_files import parse_json, read_bytes
from lumiere_jax.text.reading import split_lines

MAXIMUM_BYTES = 1 << 34  # of a manifest: a hundred million rows
# A quoted field may span lines; one that is longer than this has a stray quotation mark.
MAXIMUM_LINES = 100
MAXIMUM_CHARACTERS = 1 << 16
# Quotation marks only around whole fields, doubled inside; csv also accepts them elsewhere.
_FIELD = r'(?: *+"(?:[^"]|"")*+"|[^",]*+)'
_RECORD = re.compile(f"{_FIELD}(?:,{_FIELD})*+")

Row = tuple[int, dict[str, Any] | ValueError]


def read_manifest(manifest: epath.Path, names_video: Callable[[str], bool]) -> Iterator[Row]:
    """Yield (line number, row) of a .jsonl or .csv; a row that cannot be read is a ValueError.

    Args:
      manifest: path of the file.
      names_video: function that returns True if a cell names a video; it distinguishes rows after a
        stray quotation mark from the lines of a quoted caption.

    Raises:
      ValueError: the file as a whole is not a manifest; the message says what it seems to be.
    """
    data = read_bytes(manifest, MAXIMUM_BYTES)
    if _is_utf16(data[:1000]):
        raise ValueError(f"--source={manifest} seems to be UTF-16; save it as UTF-8")
    # Bytes that are not UTF-8 become half surrogates, and their row is refused.
    lines = split_lines(data.decode("utf-8-sig", "surrogateescape"))
    if manifest.suffix.lower() == ".csv":
        return _csv_rows(manifest, lines, names_video)
    return _jsonl_rows(manifest, lines)


def _is_utf16(start: bytes) -> bool:
    """Return whether a file begins with UTF-16's mark, or every other byte is zero."""
    zeros = sorted(half.count(0) / max(1, len(half)) for half in (start[::2], start[1::2]))
    return start[:2] in (b"\xff\xfe", b"\xfe\xff") or (zeros[0] < 0.1 and zeros[1] > 0.5)


def _jsonl_rows(manifest: epath.Path, lines: list[str]) -> Iterator[Row]:
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    rows = [(number, _parse(line, number)) for number, line in filled]
    kind = _seems_to_be([line.strip() for _, line in filled], [row for _, row in rows])
    if kind:
        raise ValueError(
            f"--source={manifest} seems to be {kind}; a .jsonl has one object a line: "
            '{"path": "a.mp4", "caption": "a dog"}'
        )
    yield from rows


def _seems_to_be(lines: list[str], rows: list[dict[str, Any] | ValueError]) -> str:
    """Return what a .jsonl without rows seems to be; empty if it has rows, or if unknown."""
    array = lines and (lines[0], lines[-1]) == ("[", "]")
    if not lines or (not array and any(isinstance(row, dict) for row in rows)):
        return ""
    if "\r" in lines[0]:
        return "text whose lines end with \\r alone"
    if lines[0].startswith("<"):
        return "a web page"
    if array or re.match(r"\[\s*\{", lines[0]):
        return "one JSON array"
    return "JSON over several lines" if lines[0] == "{" else ""


def _parse(line: str, number: int) -> dict[str, Any] | ValueError:
    try:
        _check_bytes(line)
    except ValueError as error:
        return ValueError(f"line {number}: {error}")
    try:
        value = parse_json(line, f"line {number}")
    except ValueError as error:
        return error
    if not isinstance(value, dict):
        return ValueError(f"line {number} is not an object with path and caption ({value!r:.80})")
    return value


def _csv_rows(
    manifest: epath.Path, lines: list[str], names_video: Callable[[str], bool]
) -> Iterator[Row]:
    at = next((index for index, line in enumerate(lines) if line.strip()), 0)
    header = _read_header(f"--source={manifest}", lines[at] if lines else "")
    at += 1
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        taken, cells = _read_record(lines, at, names_video)
        if not isinstance(cells, ValueError):
            cells = _check_cells(cells, header)
        if isinstance(cells, ValueError):
            yield at + 1, ValueError(f"line {at + 1}: {cells}: {lines[at][:80]!a}")
        else:
            yield at + 1, dict(zip(header, cells))
        at += taken


def _read_header(where: str, line: str) -> list[str]:
    """Return the names of the columns, in small letters and without spaces around them."""
    if "\r" in line:
        raise ValueError(f"{where}: its lines end with \\r alone; save it with \\n or \\r\\n")
    try:
        _check_bytes(line)
        cells = next(csv.reader([line], strict=True, skipinitialspace=True), [])
    except (csv.Error, ValueError) as error:
        hint = _seems(line)
        raise ValueError(f"{where}: its first line cannot be read: {error}{hint}") from None
    header = [cell.strip().lower() for cell in cells]
    for name in ("caption", "path"):
        if name not in header:
            raise ValueError(
                f"{where} has no column {name!r}; its first line must be: path,caption"
                + _seems(line)
            )
        if header.count(name) > 1:
            raise ValueError(f"{where} has two columns {name!r}; remove one")
    return header


def _seems(line: str) -> str:
    """Return what a file with that first line seems to be, in parentheses, or nothing."""
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in line:
            return f" (its columns seem to be divided by {name}; save it with commas)"
    kinds = {"{": "JSON; name it .jsonl", "[": "JSON", "<": "a web page"}
    kind = kinds.get(line.strip()[:1])
    return f" (it seems to be {kind})" if kind else ""


def _read_record(
    lines: list[str], at: int, names_video: Callable[[str], bool]
) -> tuple[int, list[str] | ValueError]:
    """Return (number of lines of the record that starts at line `at`, its cells or an error).

    A record of several lines is accepted only if it is well formed and at most one of its lines
    names a video: a quotation mark that was never closed may end at a mark of a later row.
    Otherwise its first line alone is refused, and reading resumes at the second.
    """
    reader = csv.reader(_bounded(lines, at), strict=True, skipinitialspace=True)
    try:
        cells = next(reader)
    except csv.Error as error:
        return 1, ValueError(_describe(lines[at], error))
    record = lines[at : at + reader.line_num]
    if not _RECORD.fullmatch("\n".join(record)):
        return 1, ValueError("a quotation mark inside a field; quote the field, double the mark")
    naming = [any(names_video(cell.strip(' "')) for cell in line.split(",")) for line in record]
    if len(record) > 1 and sum(naming) > 1:
        return 1, ValueError("a quotation mark opens a field and does not close it")
    try:
        _check_bytes("".join(record))
    except ValueError as error:
        return len(record), error
    return len(record), cells


def _bounded(lines: list[str], at: int) -> Iterator[str]:
    """Yield line `at` and those after it that may belong to its record."""
    room = MAXIMUM_CHARACTERS
    for index in range(at, min(at + MAXIMUM_LINES, len(lines))):
        room -= len(lines[index])
        if room < 0 and index > at:
            return
        yield lines[index] + "\n"


def _describe(line: str, error: csv.Error) -> str:
    if len(line) > csv.field_size_limit():
        return f"a field has more than {csv.field_size_limit()} characters"
    if line.count('"') % 2:
        return "a quotation mark opens a field and does not close it"
    if "\r" in line:
        return "\\r inside the row; lines end with \\n or \\r\\n"
    return str(error)


def _check_cells(cells: list[str], header: list[str]) -> list[str] | ValueError:
    if len(cells) != len(header):
        return ValueError(
            f"it has {len(cells)} columns, the first line {len(header)}; put quotation marks "
            "around text with commas"
        )
    if [cell.strip().lower() for cell in cells] == header:
        return ValueError("the first line again")
    return cells


def _check_bytes(text: str) -> None:
    """Raise a ValueError for zero bytes and bytes that are not UTF-8."""
    if "\0" in text:
        raise ValueError("zero bytes")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        raise ValueError(f"not UTF-8 (byte {byte:#04x}); save the file as UTF-8") from None
