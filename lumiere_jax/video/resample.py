"""Resampling by timestamp: which frame is on the screen at each tick of a steady clock.

Striding by index plays a variable-rate file at the wrong speed; phones, screen recorders and
web encoders all write such files.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from lumiere_jax.video.decode import Timed

T = TypeVar("T")

# Matroska and FLV round their timestamps to milliseconds, also where an MP4 was made of them.
MILLISECOND = 1e-3
ROUNDING = 0.6  # of a tick; half a tick is what rounding can add


def resample(frames: Iterable[Timed[T]], fps: float, tick: float = 0.0) -> Iterator[T]:
    """Yields, for k = 0, 1, …, what is shown k / fps seconds after the first frame.

    A frame stays on the screen until the next one starts, the last one for its duration. A
    sample that falls a rounding error before a frame's start gets that frame: without the
    tolerance a file whose timestamps are rounded repeats one frame and drops the next.

    Args:
      frames: frames with times in seconds; one that starts no later than the one before is
        dropped.
      fps: frames a second to resample to.
      tick: resolution of the timestamps in seconds.
    """
    if not fps > 0:
        raise ValueError(f"fps must be positive, got fps={fps}; try fps=16")
    tolerance = min(ROUNDING * max(tick, MILLISECOND), 0.25 / fps)
    shown: Timed[T] | None = None
    origin, count = 0.0, 0
    for frame in frames:
        if shown is None:
            origin = frame.start + tolerance
        elif frame.start <= shown.start:
            continue
        else:
            while origin + count / fps < frame.start:
                yield shown.value
                count += 1
        shown = frame
    while shown is not None and origin + count / fps < shown.start + shown.duration:
        yield shown.value
        count += 1
