"""Let only one program at a time write into an output folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from etils import epath

try:
    import fcntl
except ImportError:  # Windows; the files themselves are still written whole or not at all
    fcntl = None

NAME = "lock"


@contextlib.contextmanager
def only_writer(folder: epath.PathLike, flag: str) -> Iterator[None]:
    """Hold the lock of a folder; the system releases it when this program ends in any way.

    Object stores and file systems without locks stay unlocked.

    Args:
      folder: folder of the file `lock`, which stays there; made if it is missing.
      flag: flag and value of the output, for the error message, such as "--output=clips".

    Raises:
      BlockingIOError: another program holds the lock.
    """
    folder = epath.Path(folder)
    if fcntl is None or "://" in str(folder):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _take(os.path.join(folder, NAME), flag)
    try:
        yield
    finally:
        os.close(descriptor)


def _take(path: str, flag: str) -> int:
    """Return the open, locked file at `path`."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BlockingIOError(
                f"another run is writing into {flag}; wait until it ends, or give another "
                f"{flag.partition('=')[0]}"
            ) from None
        except OSError:
            return descriptor  # a file system without locks
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # the run that held it has finished and deleted it


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
