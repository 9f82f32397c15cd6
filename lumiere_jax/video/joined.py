"""Files that were put one behind the other, of formats whose readers stop at the first one's end.

MPEG-TS, MPEG-PS and Matroska go on with the second file; a player of MP4, FLV or WMV shows the
first only, and so would FFmpeg, without a word.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from etils import epath

# How a file begins: long enough to occur nowhere else by chance.
SIGNATURES = {
    "flv": (b"FLV\x01\x05\0\0\0\x09\0\0\0\0", b"FLV\x01\x01\0\0\0\x09\0\0\0\0"),
    "asf": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",),
}
PIECE = 1 << 22  # bytes read at a time
MAXIMUM_BOXES = 100_000  # of an MP4; a fragmented film of hours has some ten thousand


def is_joined(path: epath.PathLike, container: str) -> bool:
    """Return whether a second film follows in the file that its reader will not show.

    Args:
      path: a video file.
      container: FFmpeg's first name for its format.
    """
    if container not in ("mov", *SIGNATURES):
        return False
    with epath.Path(path).open("rb") as file:
        if container == "mov":
            boxes = list(_boxes(file))
            # Fragments may come with their index again, and readers go on.
            return boxes.count(b"moov") > 1 and b"moof" not in boxes
        return any(_find_again(file, signature) for signature in SIGNATURES[container])


def _boxes(file: BinaryIO) -> Iterator[bytes]:
    """Yield the types of an MP4's outermost boxes (ISO/IEC 14496-12, section 4.2)."""
    end, start = file.seek(0, os.SEEK_END), 0
    for _ in range(MAXIMUM_BOXES):
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            size = struct.unpack(">Q", head[8:])[0]
        yield kind
        if size < 8 or start + size >= end:  # 0 reaches to the end of the file
            return
        start += size


def _find_again(file: BinaryIO, signature: bytes) -> bool:
    """Return whether a signature comes after the file's beginning."""
    file.seek(1)
    kept = b""
    while piece := file.read(PIECE):
        if signature in kept + piece:
            return True
        kept = piece[-len(signature) :]
    return False
