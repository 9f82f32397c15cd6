"""Resample by timestamp: pick the frame that is shown at each tick of a constant-rate clock.

Taking every n-th frame would play a variable-rate file at the wrong speed; phones, screen recorders
and web encoders all write such files.
"""

import math
import numbers
from collections.abc import Iterable, Iterator
from typing import TypeVar

from lumiere_jax.video.timeline import Timed

T = TypeVar("T")

# Matroska and FLV round timestamps to milliseconds, and so do MP4 files made of them.
MILLISECOND = 1e-3
ROUNDING = 0.6  # of a tick; rounding can add half a tick
SLOWEST, FASTEST = 1e-3, 1000.0  # frames a second; files have at most 300


def resample(
    frames: Iterable[Timed[T]], fps: float, tick: float = 0.0, since: float | None = None
) -> Iterator[T]:
    """Yield, for k = 0, 1, …, the frame shown k / fps seconds after the first one starts.

    A frame is shown until the next one starts, the last one for its duration; the first one is
    always yielded. A sample that falls a rounding error before a frame's start gets
    that frame: without the tolerance a file whose timestamps are rounded repeats one frame and
    drops the next.

    Args:
      frames: frames with times in seconds, in order. A frame that starts no later than the one
        before replaces it.
      fps: frames a second to resample to.
      tick: resolution of the timestamps, in seconds.
      since: start of the video's first frame in seconds, if `frames` begin with a later one; the
        samples before that one are left out.
    """
    check_rate("fps", fps)
    tolerance = min(ROUNDING * max(tick, MILLISECOND), 0.25 / fps)
    shown: Timed[T] | None = None
    origin, count = 0.0, 0
    for frame in frames:
        if shown is None:
            origin = (frame.start if since is None else since) + tolerance
            count = _first_at(frame.start, origin, fps)
        else:
            while origin + count / fps < frame.start:
                yield shown.value
                count += 1
        shown = frame
    if shown is None:
        return
    while origin + count / fps < shown.start + shown.duration or count == 0:
        yield shown.value
        count += 1


def _first_at(time: float, origin: float, fps: float) -> int:
    """Return the first k whose sample is a frame that starts at `time`, at `origin` + k / fps."""
    count = max(0, math.floor((time - origin) * fps) - 1)
    while origin + count / fps < time:
        count += 1
    return count


def check_rate(field: str, fps: float) -> None:
    """Raise a ValueError unless `fps` is a number of frames a second from SLOWEST to FASTEST."""
    if isinstance(fps, bool) or not isinstance(fps, numbers.Real) or not SLOWEST <= fps <= FASTEST:
        raise ValueError(
            f"{field}={fps!r:.80} is not a frame rate from {SLOWEST:g} to {FASTEST:g}; "
            f"try {field}=16"
        )
