"""Scene cuts: where one frame has next to nothing to do with the one before.

The change between two frames is the geometric mean of two distances in [0, 1]: of the pixels of
a 16 × 16 thumbnail, and of the colour histograms. Movement within a shot changes the first and
hardly the second, a change of exposure the second and hardly the first; a cut changes both. It
counts as a cut where it is large, and large beside the changes around it, since fast movement
makes many large changes in a row. Hard cuts only: dissolves and fades pass unnoticed.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

MINIMUM_CHANGE = 0.1  # a 47-level change of thumbnails with 30 % of the colours gone is 0.23
MINIMUM_RATIO = 2.2  # to the mean of the two changes before and the two after
THUMBNAIL = 16
COLOUR_LEVELS = 16


def mark_cuts(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], bool]]:
    """Yields each frame with whether a new scene starts at it; the first one never counts.

    Runs two frames behind its input, so that a film of any length passes through.
    """
    # Two before, the judged one, two after; none beyond the ends of the video.
    changes: deque[float | None] = deque([None] * 5, maxlen=5)
    waiting: deque[np.ndarray] = deque()
    previous = None
    for frame in frames:
        described = _describe(frame)
        changes.append(_change(previous, described) if previous else None)
        waiting.append(frame)
        previous = described
        if len(waiting) == 3:
            yield waiting.popleft(), _is_cut(list(changes))
    while waiting:
        changes.append(None)
        yield waiting.popleft(), _is_cut(list(changes))


def find_cuts(frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> list[int]:
    """Indices of the frames at which a new scene starts, the first frame left out."""
    return [index for index, (_, cut) in enumerate(mark_cuts(frames)) if cut]


def _is_cut(changes: list[float | None]) -> bool:
    change = changes[2]
    if change is None:
        return False
    around = [other for place, other in enumerate(changes) if place != 2 and other is not None]
    usual = sum(around) / len(around) if around else 0.0
    return change > MINIMUM_CHANGE and change > MINIMUM_RATIO * usual


def _describe(frame: np.ndarray) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Thumbnail [16, 16, 3] and histograms [3, 16], both scaled to [0, 1]."""
    size = (THUMBNAIL, THUMBNAIL)
    thumbnail = Image.fromarray(frame).resize(size, Image.Resampling.BOX)
    levels = (frame // (256 // COLOUR_LEVELS)).reshape(-1, 3)
    histograms = [np.bincount(channel, minlength=COLOUR_LEVELS) for channel in levels.T]
    return np.asarray(thumbnail, np.float32) / 255, np.stack(histograms) / len(levels)


def _change(before, after) -> float:
    pixels = np.abs(after[0] - before[0]).mean()
    colours = np.abs(after[1] - before[1]).sum(-1).mean() / 2
    return float(np.sqrt(pixels * colours))
