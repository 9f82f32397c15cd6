"""Open the container of an untrusted video file, and no other file or address.

A file is passed to FFmpeg as an open stream and may open nothing else: playlists and other formats
that refer to other files are refused, so that a downloaded "video" cannot make the reader fetch
addresses or read local files.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import av
from av.stream import Disposition
from etils import epath

from lumiere_jax.json_files import check_regular
from lumiere_jax.video.limits import ReadLimits, VideoError

# Containers that hold their pictures themselves. Playlists (hls, dash, concat) and image
# sequences are left out on purpose.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mpegvideo"

# Errors that PyAV raises, besides FFmpeg's own, for headers with impossible values.
DAMAGE = (av.error.FFmpegError, EOFError, ValueError, ArithmeticError)


@contextlib.contextmanager
def open_container(path: epath.PathLike, max_pixels: int) -> Iterator[av.container.InputContainer]:
    """Open a file and read its header.

    Args:
      path: video file.
      max_pixels: height × width of the largest picture that is decoded while reading the header.

    Raises:
      FileNotFoundError: the file does not exist.
      VideoError: the file is not a readable video; reason "unreadable".
    """
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a video file")
    try:
        check_regular(path)
    except ValueError as error:
        raise VideoError("unreadable", str(error)) from None
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        try:
            container = av.open(
                file,
                options={"max_pixels": str(max_pixels)},
                container_options={"format_whitelist": FORMATS, "protocol_whitelist": "none"},
                metadata_errors="replace",
                io_open=_refuse_to_open,
            )
        except (*DAMAGE, OSError) as error:
            raise VideoError(
                "unreadable", f"not a video file that can be read ({error})"
            ) from error
        yield stack.enter_context(container)


def _refuse_to_open(url: str, flags: int, options: dict):
    raise PermissionError(f"a video file may not open {url!r}")


@contextlib.contextmanager
def damage(reason: str, what: str) -> Iterator[None]:
    """Turn the errors that PyAV raises for a damaged file into a VideoError.

    Args:
      reason: reason of the VideoError.
      what: description of what failed, for the message.
    """
    try:
        yield
    except VideoError:
        raise
    except DAMAGE as error:
        # FFmpeg's message without the path, which differs from machine to machine.
        words = getattr(error, "strerror", None) or str(error)
        raise VideoError(reason, f"{what} ({words})") from error


# Pictures that come with a film or a song, such as its cover.
PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
# FFmpeg's native decoders of these drop the transparency, which is stored beside the picture.
DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def find_film(container: av.container.InputContainer) -> av.VideoStream:
    """Return the video stream that a player would show.

    Covers, thumbnails and, beside a film, single pictures are left out. Of several films FFmpeg's
    choice is taken: one marked as the default, then the one with the most data.

    Raises:
      VideoError: reason "no video" if there is no film, "unreadable" if it cannot be decoded.
    """
    videos = [stream for stream in container.streams if stream.type == "video"]
    films = [stream for stream in videos if not stream.disposition & PICTURES]
    if not films:
        only = "only a cover picture" if videos else "no video stream"
        raise VideoError("no video", f"the file has {only}")
    known = [stream for stream in films if stream.codec_context is not None]
    if not known:
        raise VideoError("unreadable", "this FFmpeg has no decoder for the film's codec")
    moving = [stream for stream in known if stream.frames != 1] or known
    best = container.streams.best("video")
    return best if best in moving else max(moving, key=_rank)


def _rank(stream: av.VideoStream) -> tuple:
    context = stream.codec_context
    default = bool(stream.disposition & Disposition.default)
    return default, context.width * context.height, -stream.index


def open_decoder(stream: av.VideoStream, limits: ReadLimits) -> av.VideoCodecContext:
    """Return the decoder of a stream, on one thread, that refuses pictures above the limits."""
    decoder = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and decoder.name in DECODERS_WITH_ALPHA:
        name = DECODERS_WITH_ALPHA[decoder.name]
        extradata, decoder = decoder.extradata, av.CodecContext.create(name, "r")
        decoder.extradata = extradata
        decoder.thread_count = 1
    decoder.thread_type = "NONE"  # fastest for small frames, and workers are processes
    decoder.options = {"max_pixels": str(limits.max_pixels)}
    return decoder


# First bytes of a file, too many to occur elsewhere by chance.
SIGNATURES = {
    "flv": (b"FLV\x01\x05\0\0\0\x09\0\0\0\0", b"FLV\x01\x01\0\0\0\x09\0\0\0\0"),
    "asf": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",),
}
PIECE = 1 << 22  # bytes read at a time
MAXIMUM_BOXES = 100_000  # of an MP4; a fragmented film of hours has some ten thousand


def is_joined(path: epath.PathLike, container: str) -> bool:
    """Return whether the file holds a second film that its reader does not show.

    Args:
      path: video file.
      container: FFmpeg's first name for the format, such as "mov".
    """
    if container not in ("mov", *SIGNATURES):
        return False
    with epath.Path(path).open("rb") as file:
        if container == "mov":
            boxes = list(_boxes(file))
            # A fragmented file may repeat its index, and readers read on.
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
