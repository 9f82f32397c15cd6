"""Open the container of an untrusted video file: nothing else is opened, nothing fetched.

A file is handed to FFmpeg as an open stream and may open nothing else: playlists and other
formats that point elsewhere are refused, so that a downloaded "video" cannot make the reader
fetch addresses or read local files.
"""

import contextlib
from collections.abc import Iterator

import av
from etils import epath

from lumiere_jax.json_files import check_regular
from lumiere_jax.video.limits import VideoError

# Containers that hold their pictures themselves. Playlists (hls, dash, concat) and image
# sequences are left out on purpose.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mpegvideo"

# What PyAV raises, besides FFmpeg's own errors, for headers that say what cannot be.
DAMAGE = (av.error.FFmpegError, EOFError, ValueError, ArithmeticError)


@contextlib.contextmanager
def open_container(path: epath.PathLike, max_pixels: int) -> Iterator[av.container.InputContainer]:
    """Open a file and read its header.

    Args:
      path: a video file.
      max_pixels: the decoders that look into the first pictures refuse larger ones.

    Raises:
      FileNotFoundError: where there is no such file.
      VideoError: "unreadable".
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
    """Turn what PyAV raises on a damaged file into a VideoError."""
    try:
        yield
    except VideoError:
        raise
    except DAMAGE as error:
        # FFmpeg's words without the path, which differs from machine to machine.
        words = getattr(error, "strerror", None) or str(error)
        raise VideoError(reason, f"{what} ({words})") from error
