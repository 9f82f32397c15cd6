"""Which videos there are, and what their captions say."""

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterator

from etils import epath

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov"),
        *("mp4", "mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One video to prepare.

    name: its path relative to the folder or manifest; stored with every clip.
    path: where it is.
    caption: one line; empty where there is a problem.
    problem: why it cannot be used although the video may be fine, as (reason, detail).
    """

    name: str
    path: str
    caption: str = ""
    problem: tuple[str, str] | None = None


def find_sources(source: epath.PathLike) -> list[Source]:
    """Lists the videos of a folder or a manifest, in an order that depends on nothing else.

    A folder is searched with all its subfolders; the caption of street.mp4 is in street.txt
    beside it. A manifest is a .jsonl of objects or a .csv with a header, with `path` (relative
    to the manifest, or absolute) and `caption`.

    Raises:
      FileNotFoundError: where `source` does not exist.
      ValueError: neither a folder nor such a manifest, or no video named in it.
    """
    source = epath.Path(source)
    if not source.exists():
        raise FileNotFoundError(
            f"--source={source} does not exist; give a folder of videos or a .jsonl/.csv manifest"
        )
    if source.is_dir():
        found = list(_read_folder(source))
    elif source.suffix == ".jsonl":
        found = [_from_row(source, row, line) for line, row in _jsonl_rows(source)]
    elif source.suffix == ".csv":
        found = [_from_row(source, row, line) for line, row in _csv_rows(source)]
    else:
        raise ValueError(
            f"--source={source} is not a folder, a .jsonl or a .csv; "
            "give --source=<folder> or --source=<manifest.jsonl>"
        )
    if not found:
        raise ValueError(
            f"--source={source} holds no video; give a folder with .mp4 files "
            "(or .mov, .mkv, .webm, …) or a manifest with rows"
        )
    return found


def hash_sources(sources: list[Source]) -> str:
    """SHA-256 over names, captions and file sizes: tells whether an input has changed."""
    digest = hashlib.sha256()
    for source in sources:
        path = epath.Path(source.path)
        size = path.stat().length if source.path and path.exists() else -1
        entry = [source.name, source.caption, source.problem, size]
        digest.update(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _read_folder(folder: epath.Path) -> Iterator[Source]:
    named = sorted((path.relative_to(folder).as_posix(), path) for path in _videos(folder))
    for name, path in named:
        text = path.with_suffix(".txt")
        if not text.exists():
            yield _uncaptioned(name, path, f"there is no {text.name} beside it")
            continue
        try:
            caption = text.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            yield _uncaptioned(name, path, f"{text.name} is not UTF-8")
            continue
        yield _captioned(name, path, caption, f"{text.name} is empty")


def _videos(folder: epath.Path) -> Iterator[epath.Path]:
    for path in folder.iterdir():
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir():
            yield path
        elif path.is_dir() and not os.path.islink(path):  # links may lead in circles
            yield from _videos(path)


def _jsonl_rows(manifest: epath.Path) -> Iterator[tuple[int, object]]:
    for line, text in enumerate(_read_text(manifest).splitlines(), 1):
        if text.strip():
            try:
                yield line, json.loads(text)
            except json.JSONDecodeError as error:
                yield line, error


def _csv_rows(manifest: epath.Path) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(io.StringIO(_read_text(manifest), newline=""))
    missing = {"path", "caption"} - set(reader.fieldnames or [])
    if missing:
        raise ValueError(
            f"--source={manifest} has no column {sorted(missing)[0]!r}; "
            "its first line must be: path,caption"
        )
    for row in reader:
        yield reader.line_num, row


def _from_row(manifest: epath.Path, row: object, line: int) -> Source:
    path = row.get("path") if isinstance(row, dict) else None
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        detail = f"not an object with path and caption ({row})"
        return Source(name=f"line {line}", path="", problem=("bad manifest line", detail))
    caption = row.get("caption")
    if not isinstance(caption, str):
        return _uncaptioned(path, manifest.parent / path, f"line {line} has no caption")
    return _captioned(path, manifest.parent / path, caption, f"the caption of line {line} is empty")


def _captioned(name: str, path: epath.Path, caption: str, when_empty: str) -> Source:
    caption = " ".join(caption.split())
    if not caption:
        return _uncaptioned(name, path, when_empty)
    return Source(name=name, path=str(path), caption=caption)


def _uncaptioned(name: str, path: epath.Path, detail: str) -> Source:
    return Source(name=name, path=str(path), problem=("no caption", detail))


def _read_text(manifest: epath.Path) -> str:
    try:
        return manifest.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"--source={manifest} is not UTF-8 ({error}); save it as UTF-8") from error
