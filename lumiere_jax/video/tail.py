"""Read the last frames of a video without decoding everything before them.

All packets are read, which costs little compared with decoding; their timestamps and key frames
show where to start. After the jump every packet must be the one that was read there before. If the
file or its codec leaves a doubt, everything is decoded, and the last frames are kept: the result is
the same. Packets that are not decoded are not checked for damage.
"""

import bisect
import collections
import dataclasses
import itertools
from collections.abc import Iterator

import av
from etils import epath

from lumiere_jax.video.decode import OpenVideo, open_video
from lumiere_jax.video.frame import DecodedFrame
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.resample import resample

# Containers whose key frames and timestamps are the same after a jump.
CONTAINERS = ("mov", "matroska", "mpegts", "avi")
# Codecs whose frames need nothing from before a key frame, except those shown before it.
CODECS = ("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9")
CODECS += ("mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "prores", "dnxhd", "ffv1", "rawvideo")
ATTEMPTS = 2  # key frames to start from


@dataclasses.dataclass(frozen=True)
class Tail:
    """The last frames of a video at a steady rate, and the first frame of all."""

    first: DecodedFrame
    frames: collections.deque[DecodedFrame]


def read_tail(
    path: epath.PathLike, count: int, fps: float, limits: ReadLimits | None = None
) -> Tail:
    """Return the last frames of a video, resampled.

    Args:
      path: video file.
      count: largest number of frames.
      fps: frames a second to resample to.
      limits: largest video that is read; the defaults of `ReadLimits` when None.

    Raises:
      FileNotFoundError: the file does not exist.
      VideoError: the file cannot be used.
    """
    with open_video(path, limits) as video:
        first = next(video.frames())
    with open_video(path, limits) as video:
        packets = _scan(video)
    for key in _keys(packets, count / fps)[:ATTEMPTS]:
        with open_video(path, limits) as video:
            shown = resample(_frames_from(video, packets, key), fps, video.tick, first.start)
            try:
                frames = collections.deque(shown, maxlen=count)
            except VideoError:  # below everything is decoded; a damaged file fails there
                break
        if len(frames) == count:
            return Tail(first.value, frames)
    with open_video(path, limits) as video:
        shown = resample(video.frames(), fps, video.tick)
        return Tail(first.value, collections.deque(shown, maxlen=count))


@dataclasses.dataclass(frozen=True)
class _Packet:
    pts: int
    size: int
    key: bool


@dataclasses.dataclass(frozen=True)
class _Packets:
    """Packets of a file in stored order; `tick` is the unit of their times, in seconds."""

    packets: list[_Packet]
    tick: float


def _scan(video: OpenVideo) -> _Packets:
    """Return the file's packets; none if a jump in the file cannot be trusted."""
    nothing = _Packets([], video.tick)
    if video.container_name not in CONTAINERS or video.codec not in CODECS:
        return nothing
    packets, last, ends = [], None, []
    for packet in video.packets():
        if packet.pts is None and packet.dts is None and not packet.size:
            continue  # the end
        reordered = packet.pts != packet.dts and video.container_name == "avi"
        # Matroska begins without decoding times where pictures are reordered.
        rises = last is None or (packet.dts is not None and packet.dts > last)
        if packet.pts is None or reordered or not rises:
            return nothing
        last = packet.dts
        packets.append(_known(packet))
        ends.append(packet.pts + (packet.duration or 0))
    if packets:
        first = min(packet.pts for packet in packets)
        video.check_extent(len(packets), (max(ends) - first) * video.tick)
    return _Packets(packets, video.tick)


def _known(packet: av.Packet) -> _Packet:
    return _Packet(packet.pts, packet.size, packet.is_keyframe)


def _keys(packets: _Packets, seconds: float) -> list[int]:
    """Return indices of key frames at least `seconds` and a little before the end, latest first.

    All frames stored before such a key frame are shown before it, too.
    """
    latest, keys = None, []
    for index, packet in enumerate(packets.packets):
        if packet.key and index and packet.pts > latest:
            keys.append(index)
        latest = packet.pts if latest is None else max(latest, packet.pts)
    if not keys:
        return []
    needed = latest - (seconds + 0.1) / packets.tick
    times = [packets.packets[key].pts for key in keys]
    return keys[: bisect.bisect_right(times, needed)][::-1]


def _frames_from(video: OpenVideo, packets: _Packets, key: int) -> Iterator:
    """Yield the frames from a key frame on, or from an earlier key frame.

    Args:
      video: video whose packets have not been read yet.
      packets: result of `_scan`.
      key: index of the key frame among the packets.

    Raises:
      VideoError: the packets differ from those scanned.
    """
    video.seek(packets.packets[key].pts)
    places = {packet: index for index, packet in enumerate(packets.packets) if packet.key}
    found = itertools.dropwhile(lambda packet: _known(packet) not in places, video.packets())
    start = next(found, None)
    place = None if start is None else places[_known(start)]
    if place is None or place > key:
        raise VideoError("unreadable", "the jump to a key frame misses it")
    checked = _checked(itertools.chain([start], found), packets.packets[place:])
    since = (packets.packets[place].pts - 0.5) * packets.tick
    for timed in video.decode(checked, since):
        if timed.value.section:
            raise VideoError("corrupt", "the timestamps jump back")
        yield timed


def _checked(packets: Iterator[av.Packet], expected: list[_Packet]) -> Iterator[av.Packet]:
    for packet, known in itertools.zip_longest(packets, [*expected, None]):
        end = known is None and packet is not None and not packet.size
        if not end and (packet is None or _known(packet) != known):
            raise VideoError("unreadable", "the file gives other packets after a jump")
        yield packet
