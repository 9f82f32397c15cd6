"""Files of our own: written aside, then put in place whole, never over something that is there."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from etils import epath

T = TypeVar("T")

UNFINISHED = ".unfinished-"  # folders of this name are what a killed program left
ROOM = 1 << 20  # bytes that any output needs at least


@contextlib.contextmanager
def new_file(path: epath.PathLike) -> Iterator[pathlib.Path]:
    """Give a path of this machine to write to; on success its content appears at `path`.

    A reader sees all of the file or none of it, also after a crash. Folders are made as needed.

    Raises:
      FileExistsError: something is at `path`, before or after writing; a link to nowhere, too.
    """
    path = epath.Path(path)
    refuse_existing(path)
    with _aside(path) as written:
        yield written
        if _is_local(path):
            _publish(written, path)
        else:  # object stores show a file only once it is closed
            refuse_existing(path)
            path.write_bytes(written.read_bytes())


@contextlib.contextmanager
def replaced_file(path: epath.PathLike) -> Iterator[pathlib.Path]:
    """Give a path to write to, as `new_file`; on success its content replaces what is at `path`.

    For files that this program keeps up to date (`config.json`, `evaluation.json`). A link at
    `path` is replaced, and what it points to stays as it is.
    """
    path = epath.Path(path)
    with _aside(path) as written:
        yield written
        if _is_local(path):
            os.replace(written, path)
        else:
            path.write_bytes(written.read_bytes())


class _Publisher:
    """Puts files of a folder aside in place under one name, all of them or none."""

    def __init__(self, folder: pathlib.Path, target: epath.Path):
        self.folder, self._target = folder, target

    def __call__(self, files: Sequence[pathlib.Path], stem: str) -> list[epath.Path]:
        """Put each file in place as `stem` and its ending.

        Raises:
          FileExistsError: one of the names is taken; the others are not left behind.
        """
        done: list[epath.Path] = []
        try:
            for file in files:
                path = self._target / f"{stem}{file.suffix}"
                refuse_existing(path)
                if _is_local(path):
                    _publish(file, path)
                else:
                    path.write_bytes(file.read_bytes())
                done.append(path)
        except BaseException:
            for path in done:
                path.unlink(missing_ok=True)
            raise
        return done


@contextlib.contextmanager
def new_files(folder: epath.PathLike) -> Iterator[_Publisher]:
    """Give `publish`, which puts files written to `publish.folder` in place together.

    with new_files("clips") as publish:
        (publish.folder / "x.json").write_text("{}")
        publish([publish.folder / "x.json"], "clip-00000")
    """
    folder = epath.Path(folder)
    with _aside(folder / "files") as place:
        yield _Publisher(place.parent, folder)


def next_free(write: Callable[[int], T], first: int) -> T:
    """Return `write(number)` of the first number from `first` on whose files nobody else has.

    Two programs that write into one folder choose the same number now and then; the one that comes
    second must not lose what it made.

    Args:
      write: raises FileExistsError, and leaves nothing behind, where the number is taken.
    """
    number = first
    while True:
        try:
            return write(number)
        except FileExistsError:
            number += 1


def check_output(folder: epath.PathLike, flag: str = "--output", room: int = ROOM) -> None:
    """Try to write to a folder, so that what cannot be is said before the work, not after it.

    Nothing is left behind: a folder that is not there yet is tried in the nearest one that is.

    Args:
      folder: where the program will write; remote folders are not tried.
      flag: how the user names it.
      room: bytes that will be needed.

    Raises:
      FileExistsError: it is a file.
      OSError: it cannot be made or written to, or the disk has too little room.
    """
    if not _is_local(epath.Path(folder)):
        return
    there = pathlib.Path(folder).absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise FileExistsError(f"{flag}={folder}: {there} is not a folder; name another one")
    try:
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=there) as place:
            (pathlib.Path(place) / "probe").write_bytes(b"\0" * min(room, ROOM))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{flag}={folder} cannot be written to: {reason}") from None
    free = shutil.disk_usage(there).free
    if free < room:
        raise OSError(
            f"{flag}={folder}: {room >> 20} MiB are needed, and the disk has {free >> 20} MiB left"
        )


def refuse_existing(path: epath.PathLike) -> None:
    """Raise a FileExistsError where something is at `path`, a link to nowhere included."""
    path = epath.Path(path)
    if path.exists() or (_is_local(path) and os.path.lexists(path)):
        raise FileExistsError(f"{path} exists; delete it or write to another name")


def _is_local(path: epath.Path) -> bool:
    return "://" not in str(path)


@contextlib.contextmanager
def _aside(path: epath.Path) -> Iterator[pathlib.Path]:
    """A file of that name in a fresh folder beside it, whose own name nobody can foresee."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.parent if _is_local(path) else None
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=place) as folder:
        yield pathlib.Path(folder) / path.name


def _publish(written: pathlib.Path, path: epath.Path) -> None:
    """Put the file in place whole; a link, unlike a rename, never replaces a file."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise FileExistsError(f"{path} exists; delete it or write to another name") from None
    except OSError:  # a file system without links
        refuse_existing(path)
        os.rename(written, path)
