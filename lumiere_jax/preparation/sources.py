"""List the videos of a folder or manifest with their captions, and hash them."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from etils import epath

from lumiere_jax.preparation.folders import is_video, search_folder, suffix
from lumiere_jax.preparation.manifests import read_manifest
from lumiere_jax.text.reading import clean, read_text

ENDS = 64 << 10  # bytes hashed of a file's beginning and of its end
THREADS = 16  # that read files: most of the time is spent waiting for disk or network
LONGEST_CAPTION = 1 << 17  # characters, the limit of a field of a .csv


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One video to prepare.

    Attributes:
      name: path relative to the folder or manifest; stored with every clip.
      path: path of the file; empty if it is unknown.
      caption: cleaned caption, one line; empty if there is a problem.
      problem: (reason, detail) why the entry cannot be used, although the video may be fine.
      line: line of the manifest; None in a folder.
    """

    name: str
    path: str
    caption: str = ""
    problem: tuple[str, str] | None = None
    line: int | None = None


def find_sources(source: epath.PathLike) -> list[Source]:
    """List the videos of a folder or a manifest, in an order that depends on nothing else.

    A folder is searched with all its subfolders, linked ones once; the caption of street.mp4 is in
    street.txt beside it. A manifest is a .jsonl of objects or a .csv with a header, with `path`
    (relative to the manifest, or absolute) and `caption`. An entry that cannot be used has a
    `problem`.

    Raises:
      FileNotFoundError: `source` does not exist.
      ValueError: `source` is neither a folder nor such a manifest, or it names no video.
    """
    source = epath.Path(source)
    if not source.exists():
        raise FileNotFoundError(
            f"--source={source} does not exist; give a folder of videos or a .jsonl/.csv manifest"
        )
    if source.is_dir():
        found = _read_folder(source)
    elif source.suffix.lower() in (".jsonl", ".csv"):
        names_video = functools.partial(_names_video, source.parent)
        rows = read_manifest(source, names_video)
        found = [_from_row(source.parent, row, line) for line, row in rows]
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


def printable(text: str) -> str:
    """Return text that can be written to any file, with undecodable bytes escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _read_folder(folder: epath.Path) -> list[Source]:
    found = []
    for name, path, error in search_folder(str(folder)):
        if error is not None:
            problem = ("unreadable", f"the folder cannot be listed: {printable(str(error))}")
            found.append(Source(name=printable(name), path="", problem=problem))
        elif is_video(name) and printable(name) != name:
            problem = ("bad name", "the name is not UTF-8; rename the file or its folder")
            found.append(Source(name=printable(name), path="", problem=problem))
        elif is_video(name):
            found.append(_beside(name, path))
    return sorted(found, key=lambda source: source.name)


def _names_video(folder: epath.Path, cell: str) -> bool:
    """Return whether a cell of a manifest seems to be the name of a video."""
    try:
        return is_video(cell) or (bool(cell.strip()) and (folder / cell).is_file())
    except (OSError, ValueError):  # not a name: too long, or with zero bytes
        return False


def _beside(name: str, path: str) -> Source:
    text = f"{path.removesuffix(suffix(path))}.txt"
    shown = os.path.basename(text)
    try:
        caption = read_text(text)
    except FileNotFoundError:
        return _uncaptioned(name, path, f"there is no {shown} beside it")
    except (ValueError, OSError) as error:
        return _uncaptioned(name, path, printable(str(error).replace(text, shown)))
    return _captioned(name, path, caption, shown)


def _from_row(folder: epath.Path, row: dict | ValueError, line: int) -> Source:
    path = None if isinstance(row, ValueError) else row.get("path")
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        detail = row if isinstance(row, ValueError) else f"line {line} has no path: {row!r:.80}"
        problem = ("bad manifest line", printable(str(detail)))
        return Source(name=f"line {line}", path="", problem=problem, line=line)
    caption = row.get("caption")
    if not isinstance(caption, str):
        return _uncaptioned(path, str(folder / path), f"line {line} has no caption", line)
    return _captioned(path, str(folder / path), caption, f"the caption of line {line}", line)


def _captioned(name: str, path: str, caption: str, where: str, line: int | None = None) -> Source:
    if len(caption) > LONGEST_CAPTION:
        detail = f"{where} has {len(caption)} characters; {LONGEST_CAPTION} are read"
        return _uncaptioned(name, path, detail, line)
    caption = clean(caption)
    if not caption:
        return _uncaptioned(name, path, f"{where} is empty", line)
    return Source(name=name, path=path, caption=caption, line=line)


def _uncaptioned(name: str, path: str, detail: str, line: int | None = None) -> Source:
    return Source(name=name, path=path, problem=("no caption", detail), line=line)


class SourceHashes(NamedTuple):
    """Hashes of all inputs, in order.

    Attributes:
      content: hash of names, captions, problems, sizes, and beginnings and ends of the files.
      times: hash of the modification times in whole seconds, the resolution of archives.
      sizes: hash that earlier releases used as `content`, to recognise their folders.
    """

    content: str
    times: str
    sizes: str


class _File(NamedTuple):
    size: int  # -1 if the file cannot be read
    time: int
    ends: str


def hash_sources(sources: list[Source]) -> SourceHashes:
    """Return the hashes of sources; at most 128 KiB of each video are read."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        files = list(pool.map(_look, [source.path for source in sources]))
    pairs = list(zip(sources, files))
    return SourceHashes(
        content=_hash(
            [s.name, s.caption, s.problem and s.problem[0], file.size, file.ends]
            for s, file in pairs
        ),
        times=_hash([file.time] for file in files),
        sizes=_hash([s.name, s.caption, s.problem, file.size] for s, file in pairs),
    )


def _hash(entries: Iterable[list]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        text = json.dumps(entry, ensure_ascii=False)
        digest.update(text.encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


def _look(path: str) -> _File:
    """Return a file's size, time and hash; size -1 if it cannot be read."""
    try:
        if "://" in path:
            found = epath.Path(path).stat()
            size, time, regular = found.length, int(found.mtime), not found.is_directory
        else:
            found = os.stat(path)
            size, time = found.st_size, int(found.st_mtime)
            regular = stat.S_ISREG(found.st_mode)  # opening a pipe would block
        return _File(size, time, _hash_ends(path, size) if regular else "")
    except (OSError, ValueError):
        return _File(-1, 0, "")


def _hash_ends(path: str, size: int) -> str:
    with epath.Path(path).open("rb") as file:
        digest = hashlib.sha256(file.read(ENDS))
        if size > ENDS:
            file.seek(max(ENDS, size - ENDS))
            digest.update(file.read(ENDS))
    return digest.hexdigest()
