"""Write files whole: aside first, then moved into place, never over an existing file."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from etils import epath

T = TypeVar("T")

UNFINISHED = (
    ".unfinished-"  # how the names of temporary folders begin; a killed program leaves them
)
ROOM = 1 << 20  # bytes, the least that any output needs


@contextlib.contextmanager
def new_file(path: epath.PathLike) -> Iterator[pathlib.Path]:
    """Yield a local path to write to; on success the file appears at `path`.

    A reader sees the whole file or none of it, also after a crash. Missing folders are made.

    Raises:
      FileExistsError: something exists at `path` before or after writing, even a broken link.
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
    """Yield a local path to write to, as `new_file`; on success the file replaces that at `path`.

    For files that this program updates (`config.json`, `evaluation.json`). A link at `path` is
    replaced, and its target stays as it is.
    """
    path = epath.Path(path)
    with _aside(path) as written:
        yield written
        if _is_local(path):
            os.replace(written, path)
        else:
            path.write_bytes(written.read_bytes())


class _Publisher:
    """A function that moves files of a temporary folder into place under one name, all or none."""

    def __init__(self, folder: pathlib.Path, target: epath.Path):
        self.folder, self._target = folder, target

    def __call__(self, files: Sequence[pathlib.Path], stem: str) -> list[epath.Path]:
        """Move each file into place as `stem` and its ending; return their paths.

        Raises:
          FileExistsError: one of the names is taken; none of the files is then in place.
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
    """Yield `publish`, which moves files written to `publish.folder` into `folder` together.

    with new_files("clips") as publish:
        (publish.folder / "x.json").write_text("{}")
        publish([publish.folder / "x.json"], "clip-00000")
    """
    folder = epath.Path(folder)
    with _aside(folder / "files") as place:
        yield _Publisher(place.parent, folder)


def next_free(write: Callable[[int], T], first: int) -> T:
    """Return `write(number)` of the first free number from `first` on.

    Two programs that write into one folder sometimes choose the same number; the second must not
    lose its files.

    Args:
      write: function of a number that raises FileExistsError, and leaves nothing behind, if the
        number is taken.
      first: first number to try.
    """
    number = first
    while True:
        try:
            return write(number)
        except FileExistsError:
            number += 1


def check_output(folder: epath.PathLike, flag: str = "--output", room: int = ROOM) -> None:
    """Raise an error if a folder cannot be written to, so that it comes before the work.

    Writes a file and removes it; for a folder that does not exist, in its nearest existing parent.

    Args:
      folder: output folder; remote folders are not checked.
      flag: flag of the folder, for error messages.
      room: free space that is needed, in bytes.

    Raises:
      FileExistsError: the folder or one of its parents is a file.
      OSError: the folder cannot be made or written to, or the disk has too little room.
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
    """Raise a FileExistsError if something exists at `path`, even a broken link."""
    path = epath.Path(path)
    if path.exists() or (_is_local(path) and os.path.lexists(path)):
        raise FileExistsError(f"{path} exists; delete it or write to another name")


def refuse_full(
    folder: epath.PathLike,
    flag: str = "--output",
    *,
    besides: Collection[str] = (),
    expected: str = "",
) -> None:
    """Raise a FileExistsError unless a folder to be written is empty or does not exist yet.

    Args:
      folder: output folder.
      flag: flag of the folder, for error messages.
      besides: names that it may hold; and it may hold what a killed program left unfinished.
      expected: content with which the caller would have accepted it, such as "evaluation", for the
        error message.
    """
    folder = epath.Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{flag}={folder} is not a folder; name another one")
    names = {path.name for path in folder.iterdir()} - set(besides)
    if any(not name.startswith(UNFINISHED) for name in names):
        lacks = f" and holds no {expected}" if expected else ""
        raise FileExistsError(
            f"{flag}={folder} is not empty{lacks}; give a new folder, or empty this one"
        )


def _is_local(path: epath.Path) -> bool:
    return "://" not in str(path)


@contextlib.contextmanager
def _aside(path: epath.Path) -> Iterator[pathlib.Path]:
    """Yield a path of that name in a new folder beside it, with an unpredictable name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.parent if _is_local(path) else None
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=place) as folder:
        yield pathlib.Path(folder) / path.name


def _publish(written: pathlib.Path, path: epath.Path) -> None:
    """Move the file into place whole; a link, unlike a rename, never replaces a file."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise FileExistsError(f"{path} exists; delete it or write to another name") from None
    except OSError:  # a file system without links
        refuse_existing(path)
        os.rename(written, path)
