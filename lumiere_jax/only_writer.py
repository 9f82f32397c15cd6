"""One program at a time writes into an output folder."""

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
    """Hold the lock of a folder; the system releases it when this program ends, however it ends.

    Object stores and file systems without locks are left unlocked.

    Args:
      folder: gets the file `lock`, which stays; made as needed.
      flag: how the user named the output, such as "--output=clips".

    Raises:
      BlockingIOError: another program holds it.
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
        os.close(descriptor)  # the run that held it has finished and cleared it away


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
