"""Decode untrusted video files frame by frame: timestamps kept, limits checked, nothing fetched.

    with open_video("street.mp4") as video:
        for frame in video.frames():
            print(frame.start, frame.value.rgb().shape)

A file is handed to FFmpeg as an open stream and may open nothing else: playlists and other
formats that point elsewhere are refused, so that a downloaded "video" cannot make the reader
fetch addresses or read local files.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Generic, TypeVar

import av
import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.video.colour import ColourConverter
from lumiere_jax.video.limits import ReadLimits, VideoError

T = TypeVar("T")

# Containers that hold their pictures themselves. Playlists (hls, dash, concat) and image
# sequences are left out on purpose.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mpegvideo"


@dataclasses.dataclass(frozen=True)
class Timed(Generic[T]):
    """Something shown from `start` on, for `duration` seconds."""

    start: float
    duration: float
    value: T


class DecodedFrame:
    """A decoded picture, converted to RGB only when asked for."""

    def __init__(self, frame: av.VideoFrame, converter: ColourConverter):
        self._frame = frame
        self._converter = converter

    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture, turned upright as the file's rotation metadata asks."""
        return np.rot90(self._converter.to_rgb(self._frame), self._quarter_turns)

    @property
    def sideways(self) -> bool:
        """Whether turning the picture upright swaps its width and height."""
        return self._quarter_turns % 2 == 1

    @property
    def _quarter_turns(self) -> int:
        """Counterclockwise, 0 … 3."""
        return round((self._frame.rotation or 0) / 90) % 4


class OpenVideo:
    """The first video stream of an open container; see `open_video`."""

    def __init__(self, container: av.container.InputContainer, limits: ReadLimits):
        if not container.streams.video:
            raise VideoError("no video", "the file has no video stream")
        self._container = container
        self._stream = container.streams.video[0]
        self._limits = limits
        self._stream.thread_type = "NONE"  # fastest for small frames, and workers are processes
        self._check_header()

    @property
    def fps(self) -> float:
        """Average frame rate in frames a second; a variable-rate file has no other."""
        return float(self._stream.average_rate or self._stream.guessed_rate or 25)

    @property
    def seconds(self) -> float | None:
        """Duration that the header declares for the pictures; None where it declares none."""
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        # The container's figure covers the sound too, and that may run longer.
        if self._container.duration is not None and len(self._container.streams) == 1:
            return self._container.duration / av.time_base
        return None

    @property
    def height(self) -> int:
        return self._stream.codec_context.height

    @property
    def width(self) -> int:
        return self._stream.codec_context.width

    @property
    def tick(self) -> float:
        """Resolution of the timestamps in seconds."""
        return float(self._stream.time_base or 0)

    @property
    def pixel_aspect(self) -> float:
        """Width over height of one stored pixel; 1 nearly always."""
        aspect = self._stream.codec_context.sample_aspect_ratio
        return float(aspect) if aspect else 1.0

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself: title, comment, …"""
        return dict(self._container.metadata)

    def frames(self) -> Iterator[Timed[DecodedFrame]]:
        """Every frame in the order shown, with its time in seconds.

        Raises:
          VideoError: "corrupt" where decoding fails or the pictures end long before the header
            says; "too large" where the file turns out larger than the limits.
        """
        converter = ColourConverter()
        count, last = 0, 0.0
        try:
            for frame in self._container.decode(self._stream):
                if frame.is_corrupt:
                    raise VideoError("corrupt", f"frame {count} is damaged")
                timed = self._timed(frame, count, converter)
                first = timed.start if count == 0 else first
                last = timed.start + timed.duration - first
                count += 1
                self._limits.check(frame.width, frame.height, count, last)
                yield timed
        except (av.error.FFmpegError, EOFError) as error:
            raise VideoError(
                "corrupt", f"decoding fails after {count} frames ({_say(error)})"
            ) from error
        self._check_complete(count, last)

    def _timed(self, frame, count: int, converter) -> Timed[DecodedFrame]:
        start = frame.time if frame.time is not None else count / self.fps
        duration = float((frame.duration or 0) * (frame.time_base or 0)) or 1 / self.fps
        return Timed(float(start), duration, DecodedFrame(frame, converter))

    def _check_header(self) -> None:
        if not self.width or not self.height:
            raise VideoError("unreadable", "the header gives no picture size")
        self._limits.check(self.width, self.height, self._stream.frames, self.seconds or 0.0)

    def _check_complete(self, count: int, seconds: float) -> None:
        if count == 0:
            raise VideoError("corrupt", "no frame can be decoded")
        # Half a second and a tenth are left for headers that round or count what is never shown.
        declared = self.seconds or 0.0
        if count < 0.9 * self._stream.frames - 1 and seconds < 0.9 * declared - 0.5:
            found = f"{count} of {self._stream.frames} frames"
        elif not self._stream.frames and seconds < 0.9 * declared - 0.5:
            found = f"{seconds:.1f} of {declared:.1f} seconds"
        else:
            return
        raise VideoError("corrupt", f"the file ends early, after {found}")


@contextlib.contextmanager
def open_video(path: epath.PathLike, limits: ReadLimits | None = None) -> Iterator[OpenVideo]:
    """Opens a video file for decoding on one thread.

    Raises:
      FileNotFoundError: where there is no such file.
      VideoError: a ValueError with the reason: "unreadable", "no video", "too large".
    """
    limits = limits or ReadLimits()
    path = epath.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a video file")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        try:
            container = av.open(
                file,
                options={"max_pixels": str(limits.max_pixels)},
                container_options={"format_whitelist": FORMATS, "protocol_whitelist": "none"},
                io_open=_refuse_to_open,
            )
        except (av.error.FFmpegError, UnicodeDecodeError, EOFError, OSError) as error:
            raise VideoError(
                "unreadable", f"not a video file that can be read ({error})"
            ) from error
        stack.enter_context(container)
        yield OpenVideo(container, limits)


def _refuse_to_open(url: str, flags: int, options: dict):
    raise PermissionError(f"a video file may not open {url!r}")


def _say(error: Exception) -> str:
    """FFmpeg's words without the path, which differs from machine to machine."""
    return getattr(error, "strerror", None) or str(error)
