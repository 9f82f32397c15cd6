"""Decode untrusted video files frame by frame: timestamps kept, limits checked.

with open_video("street.mp4") as video:
    for frame in video.frames():
        print(frame.start, frame.value.rgb().shape)
"""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator

import av
from etils import epath

from lumiere_jax.video.colour import ColourConverter
from lumiere_jax.video.container import damage, find_film, is_joined, open_container, open_decoder
from lumiere_jax.video.frame import DecodedFrame
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.timeline import Timed, timeline


class OpenVideo:
    """The film of an open container; see `open_video`."""

    def __init__(self, container: av.container.InputContainer, limits: ReadLimits):
        self._container = container
        self._stream = find_film(container)
        self._decoder = open_decoder(self._stream, limits)
        self._limits = limits
        # AVI has no presentation times: FFmpeg's are guesses, wrong where pictures are reordered.
        self._by_decoding_times = self.container_name == "avi"
        # Aspect of the pixels: players prefer the container's value to the codec's.
        self._codec_aspect = self._stream.codec_context.sample_aspect_ratio
        self._aspect = self._stream.sample_aspect_ratio or self._codec_aspect
        self._check_header()

    @property
    def fps(self) -> float:
        """Return the average frame rate in frames a second, also of a variable-rate file."""
        rates = (self._stream.average_rate, self._stream.guessed_rate)
        return next((float(rate) for rate in rates if rate is not None and rate > 0), 25.0)

    @property
    def seconds(self) -> float | None:
        """Return the declared duration of the pictures in seconds; None if the header has none."""
        seconds = None
        if self._stream.duration is not None and self._stream.time_base is not None:
            seconds = float(self._stream.duration * self._stream.time_base)
        # The container's figure covers the sound too, and that may run longer.
        elif self._container.duration is not None and len(self._container.streams) == 1:
            seconds = self._container.duration / av.time_base
        return seconds if seconds is not None and seconds > 0 else None

    @property
    def height(self) -> int:
        """Return the declared height of the stored picture, in pixels."""
        return self._stream.codec_context.height

    @property
    def width(self) -> int:
        """Return the declared width of the stored picture, in pixels."""
        return self._stream.codec_context.width

    @property
    def tick(self) -> float:
        """Return the resolution of the timestamps, in seconds."""
        return float(self._stream.time_base or 0)

    @property
    def pixel_aspect(self) -> float:
        """Return width over height of one stored pixel; nearly always 1."""
        aspect = self._decoder.sample_aspect_ratio
        if not aspect or aspect == self._codec_aspect:
            aspect = self._aspect
        # A factor above 16 comes from a damaged header.
        return float(aspect) if aspect and 1 / 16 <= aspect <= 16 else 1.0

    @property
    def container_name(self) -> str:
        """Return FFmpeg's first name for the container, such as "mov" or "matroska"."""
        return self._container.format.name.split(",")[0]

    @property
    def codec(self) -> str:
        """Return FFmpeg's name for the decoder, such as "h264" or "libvpx"."""
        return self._decoder.name

    @property
    def metadata(self) -> dict[str, str]:
        """Return the tags of the file: title, comment and others."""
        return dict(self._container.metadata)

    def frames(self) -> Iterator[Timed[DecodedFrame]]:
        """Yield every frame in the order shown, with its time in seconds.

        Where the file's timestamps jump back, as in files put one behind the other, the time still
        rises; the frames' `section` counts these places.

        Raises:
          VideoError: reason "corrupt" if decoding fails or the pictures end long before the
            declared end; "too large" if the file exceeds the limits.
        """
        count, first, last = 0, 0.0, 0.0
        for count, timed in enumerate(self.decode(self.packets()), 1):
            first = timed.start if count == 1 else first
            last = timed.start + timed.duration - first
            self._limits.check(0, 0, count, last)
            yield timed
        self.check_extent(count, last)

    def packets(self) -> Iterator[av.Packet]:
        """Yield the packets of the film in stored order, from the current position of the file."""
        packets = self._container.demux(self._stream)
        for count in itertools.count():
            with damage("corrupt", f"reading fails after {count} packets"):
                packet = next(packets, None)
            if packet is None:
                return
            yield packet

    def seek(self, time: int) -> None:
        """Jump to a key frame at or before a time in ticks; an inexact index may miss it."""
        with damage("corrupt", "seeking fails"):
            self._container.seek(time, stream=self._stream)

    def decode(
        self, packets: Iterable[av.Packet], since: float = -math.inf
    ) -> Iterator[Timed[DecodedFrame]]:
        """Yield the frames of packets, from the first one at or after `since` (seconds)."""
        converter = ColourConverter()
        decoded = self._decoded(packets)
        started = itertools.dropwhile(lambda timed: timed.start < since, decoded)
        for section, timed in timeline(_intact(started)):
            frame, aspect = timed.value
            shown = DecodedFrame(frame, converter, aspect, section)
            yield Timed(timed.start, timed.duration, shown)

    def _decoded(
        self, packets: Iterable[av.Packet]
    ) -> Iterator[Timed[tuple[av.VideoFrame, float]]]:
        """Yield frames with their pixel aspect, and their times as stored in the file."""
        count, end = 0, 0.0
        for packet in packets:
            with damage("corrupt", f"decoding fails after {count} frames"):
                frames = self._decoder.decode(packet)
            for frame in frames:
                count += 1
                self._limits.check(frame.width, frame.height, count, 0.0)
                start = self._time(frame, end)
                duration = float((frame.duration or 0) * (frame.time_base or 0)) or 1 / self.fps
                end = start + duration
                if not math.isfinite(end):
                    raise VideoError("corrupt", f"frame {count} has an impossible time")
                yield Timed(start, duration, (frame, self.pixel_aspect))

    def _time(self, frame: av.VideoFrame, end: float) -> float:
        """Return a frame's time; without a timestamp, the end of the one before it."""
        if not self._by_decoding_times:
            return end if frame.time is None else float(frame.time)
        # The decoder gives frames in the order shown, each with a later packet's decoding time.
        ticks = frame.dts
        return end if ticks is None else max(end, float(ticks * self._stream.time_base))

    def _check_header(self) -> None:
        if not self.width or not self.height:
            raise VideoError("unreadable", "the header gives no picture size")
        self._limits.check(self.width, self.height, self._stream.frames, self.seconds or 0.0)

    def check_extent(self, count: int, seconds: float) -> None:
        """Raise a VideoError if a film exceeds the limits, or ends long before its declared end.

        Args:
          count: frames found.
          seconds: duration found.
        """
        self._limits.check(0, 0, count, seconds)
        if count == 0:
            raise VideoError("corrupt", "no frame can be decoded")
        # Headers round, and count frames that are never shown: a tenth and half a second may lack.
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
    """Open a video file for decoding on one thread.

    Raises:
      FileNotFoundError: the file does not exist.
      VideoError: the file cannot be used; a ValueError whose reason is "unreadable", "no video",
        "too large" or "joined".
    """
    limits = limits or ReadLimits()
    with open_container(path, limits.max_pixels) as container:
        with damage("unreadable", "its header cannot be read"):
            video = OpenVideo(container, limits)
        if is_joined(path, video.container_name):
            raise VideoError("joined", "several films in one file; players show the first only")
        yield video


def _intact(frames: Iterable[Timed]) -> Iterator[Timed]:
    for count, timed in enumerate(frames):
        if timed.value[0].is_corrupt:
            raise VideoError("corrupt", f"frame {count} is damaged")
        yield timed
