"""Files of an output folder: each is whole, and on the disk before another file refers to it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import zlib
from collections.abc import Sequence
from typing import Any

import msgpack
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from lumiere_jax.video.new_file import new_file, replaced_file

# One record a group, so that a reader fetches single records in any order.
WRITER_OPTIONS = "group_size:1"
CHECKSUM_BYTES = 4


def write_shard(path: epath.Path, records: Sequence[bytes]) -> dict[str, Any]:
    """Write an ArrayRecord file; return its "bytes" and "sha256".

    Raises:
      FileExistsError: the file exists.
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
        _flush(target)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def write_text(path: epath.Path, text: str) -> None:
    """Write or replace a small file whole, and wait until it is on the disk."""
    with replaced_file(path) as target:
        target.write_text(text, encoding="utf-8")
        _flush(target)


def _flush(path: os.PathLike) -> None:
    """Wait until a file is on the disk: in a power cut, a rename may reach it before the data."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def clear(progress: epath.Path) -> None:
    """Delete `progress/`, except files that another program, or NFS, holds open."""
    with contextlib.suppress(OSError):
        if progress.exists():
            progress.rmtree()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Result of one video: the records of its clips, or else why it is rejected.

    Attributes:
      records: encoded clips in order.
      rejected: (reason, detail) of a video that cannot be used.
    """

    records: list[bytes]
    rejected: tuple[str, str] | None = None


def result_path(folder: epath.PathLike, index: int) -> epath.Path:
    """Return the file of a video's result, which exists until its clips are in a shard.

    Args:
      folder: folder of the results, `progress/` of the output.
      index: number of the video among the sources.
    """
    return epath.Path(folder) / f"video-{index:09d}.msgpack"


def write_result(folder: epath.PathLike, index: int, result: Result) -> None:
    """Write a result and its checksum, whole or not at all; an existing one stays."""
    packed = msgpack.packb(dataclasses.asdict(result))
    try:
        with new_file(result_path(folder, index)) as target:
            target.write_bytes(zlib.crc32(packed).to_bytes(CHECKSUM_BYTES, "little") + packed)
    except FileExistsError:
        pass  # of the same video and settings, hence the same


def read_result(folder: epath.PathLike, index: int) -> Result | None:
    """Read a result that `write_result` wrote; None if it is missing, or damaged by a power cut.

    A damaged file is deleted, so that the video can be prepared again.
    """
    path = result_path(folder, index)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    checksum, packed = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
    if not packed or zlib.crc32(packed).to_bytes(CHECKSUM_BYTES, "little") != checksum:
        path.unlink(missing_ok=True)
        return None
    record = msgpack.unpackb(packed)
    rejected = record["rejected"]
    return Result(records=record["records"], rejected=tuple(rejected) if rejected else None)
