"""New files only: written aside, then put in place whole, never over something that is there."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from etils import epath

UNFINISHED = ".unfinished-"  # folders of this name are what a killed program left


@contextlib.contextmanager
def new_file(path: epath.PathLike) -> Iterator[pathlib.Path]:
    """Gives a path of this machine to write to; on success its content appears at `path`.

    A reader sees all of the file or none of it, also after a crash. Folders are made as needed.

    Raises:
      FileExistsError: where `path` exists, before or after writing.
    """
    path = epath.Path(path)
    _refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    local = "://" not in str(path)
    aside = tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=path.parent if local else None)
    with aside as folder:
        written = pathlib.Path(folder) / path.name
        yield written
        if local:
            _publish(written, path)
        else:  # object stores show a file only once it is closed
            _refuse_existing(path)
            path.write_bytes(written.read_bytes())


def _publish(written: pathlib.Path, path: epath.Path) -> None:
    """Puts the file in place whole; a link, unlike a rename, never replaces a file."""
    try:
        os.link(written, path)
    except FileExistsError:
        _refuse_existing(path)
    except OSError:  # a file system without links
        _refuse_existing(path)
        os.rename(written, path)


def _refuse_existing(path: epath.Path) -> None:
    if path.exists():
        raise FileExistsError(f"{path} exists; delete it or write to another name")
