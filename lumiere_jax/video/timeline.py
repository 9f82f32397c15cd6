"""Make the times of decoded frames rise, without losing a frame or joining two films.

Some writers exchange the times of neighbouring frames, and two recordings put one behind the other
start again at 0. One or two frames in a row that lie before an earlier one are late. Three in a
row, or one or two after which the times do not resume where they were, begin a new section, whose
times start at the end of the section before.
"""

import collections
import heapq
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from lumiere_jax.video.limits import VideoError

T = TypeVar("T")

LATE = 2  # frames in a row that may lie before an earlier one
JUMP = 1.0  # seconds: late frames lie less far back, and times resume sooner after them
STANDSTILL = 16  # frames in a row that may share one time


@dataclass(frozen=True)
class Timed(Generic[T]):
    """A value shown from `start` (seconds) on, for `duration` seconds."""

    start: float
    duration: float
    value: T


def timeline(frames: Iterable[Timed[T]]) -> Iterator[tuple[int, Timed[T]]]:
    """Yield (section, frame) in the order given, with times in seconds that never fall.

    Reads a few frames ahead. The first section keeps its times; each later one starts where the
    last frame of the one before ends.

    Raises:
      VideoError: many frames in a row have the same time; reason "corrupt".
    """
    end = 0.0
    for section, members in itertools.groupby(_sections(frames), lambda numbered: numbered[0]):
        offset = None
        for frame in _rising(frame for _, frame in members):
            if offset is None:
                offset = end - frame.start if section else 0.0
            start = frame.start + offset
            end = start + frame.duration
            yield section, Timed(start, frame.duration, frame.value)


def _sections(frames: Iterable[Timed[T]]) -> Iterator[tuple[int, Timed[T]]]:
    """Yield (number of its section, frame) of each frame, with its time unchanged."""
    section, latest = 0, -math.inf
    behind: list[Timed[T]] = []  # frames in a row that lie before the latest of their section
    for frame in frames:
        late = frame.start < latest
        if late and len(behind) < LATE:
            behind.append(frame)
            continue
        if behind and (late or frame.start > latest + JUMP):
            section, latest = section + 1, -math.inf
        for member in (*behind, frame):
            latest = max(latest, member.start)
            yield section, member
        behind = []
    section += any(frame.start < latest - JUMP for frame in behind)
    yield from ((section, frame) for frame in behind)


def _rising(frames: Iterable[Timed[T]]) -> Iterator[Timed[T]]:
    """Yield the frames in their order, with the times of late ones sorted."""
    waiting: collections.deque[Timed[T]] = collections.deque()
    times: list[float] = []
    last, same = -math.inf, 0
    for frame in itertools.chain(frames, [None] * LATE):
        if frame is not None:
            waiting.append(frame)
            heapq.heappush(times, frame.start)
        if not waiting or (frame is not None and len(waiting) <= LATE):
            continue
        first, start = waiting.popleft(), max(last, heapq.heappop(times))
        same = same + 1 if start == last else 0
        if same >= STANDSTILL:
            raise VideoError("corrupt", f"{same + 1} frames in a row share the time {start:g} s")
        last = start
        yield Timed(start, first.duration, first.value)
