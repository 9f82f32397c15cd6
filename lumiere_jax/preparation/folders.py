"""Search a folder for videos, linked folders included."""

from __future__ import annotations

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


def is_video(name: str) -> bool:
    """Return whether a file is a video, by the ending of its name."""
    return suffix(name).lower() in VIDEO_SUFFIXES


def suffix(name: str) -> str:
    """Return the ending of a name, with its dot."""
    dot = name.rfind(".")
    return name[dot:] if dot >= 0 else ""


def search_folder(folder: str) -> Iterator[tuple[str, str, OSError | None]]:
    """Yield (relative name, path, None) of every file, and (…, error) of unreadable folders.

    Linked folders are searched after all others, in the order of their names, and no folder is
    searched twice: links may lead in circles, and to folders that are searched anyway.
    """
    waiting, links, seen = [("", folder)], [], set()
    while waiting or links:
        links.sort(reverse=True)
        prefix, place = waiting.pop() if waiting else links.pop()
        real = place if "://" in place else os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = _list(place)
        except OSError as error:
            if not prefix:
                raise
            yield prefix, place, error
            continue
        for name, is_folder, is_link in entries:
            found = (f"{prefix}{name}", f"{place.rstrip('/')}/{name}")
            if not is_folder:
                yield *found, None
            else:
                (links if is_link else waiting).append((f"{found[0]}/", found[1]))


def _list(place: str) -> list[tuple[str, bool, bool]]:
    """Return (name, True for a folder, True for a link) of everything in a folder."""
    if "://" in place:
        return [(path.name, path.is_dir(), False) for path in epath.Path(place).iterdir()]
    with os.scandir(place) as entries:
        return [
            (entry.name, os.path.isdir(entry.path), True)
            if entry.is_symlink()
            else (entry.name, entry.is_dir(), False)
            for entry in entries
        ]
