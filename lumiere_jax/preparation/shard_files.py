"""Files of an output folder: whole, and on the disk before anything tells of them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Sequence
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from lumiere_jax.video.new_file import new_file, replaced_file

# One record a group, so that a reader fetches single records in any order.
WRITER_OPTIONS = "group_size:1"


def write_shard(path: epath.Path, records: Sequence[bytes]) -> dict[str, Any]:
    """Write an ArrayRecord file; return its "bytes" and "sha256".

    Raises:
      FileExistsError: there is such a file.
      OSError: the disk is full.
    """
    with new_file(path) as target:
        writer = ArrayRecordWriter(str(target), WRITER_OPTIONS)
        try:
            for record in records:
                writer.write(record)
            writer.close()
        except RuntimeError as error:
            full = "No space left" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from None
        data = target.read_bytes()
        _keep(target)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def write_text(path: epath.Path, text: str) -> None:
    """Write a small file whole, over one that is there, and wait until it is on the disk."""
    with replaced_file(path) as target:
        target.write_text(text, encoding="utf-8")
        _keep(target)


def _keep(path: os.PathLike) -> None:
    """Wait until a file is on the disk: a rename alone may reach it first, in a power cut."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def clear(progress: epath.Path) -> None:
    """Delete `progress/`; what another program, or NFS, holds open stays until the next time."""
    with contextlib.suppress(OSError):
        if progress.exists():
            progress.rmtree()
