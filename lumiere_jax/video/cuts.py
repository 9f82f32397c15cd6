"""Scene cuts: where one frame has next to nothing to do with the one before, for good.

Frames are compared as 16 × 16 thumbnails, by three distances in [0, 1]: of the pixels; of the
colours wherever they are (the earth mover's distance of their distributions); and of the pattern,
by the correlation, which a change of exposure leaves alone. The first two are relative to
the contrast of the frames, so that dark scenes count like bright ones. Movement changes the pixels
and hardly the colours, a fade or a flash the colours and hardly the pattern; a cut changes all. It
counts where the change is

  large          by the square root of the three's product;
  lasting        the frames two before differ from those two after: a flash returns to the old shot
                 within two frames. A shot of one or two frames between two of one scene is no cut;
  sudden         large beside the changes around it, since fast movement makes many in a row, and
                 fades and dissolves change as much in every frame.

Hard cuts only: dissolves and fades pass unnoticed. `python -m benchmarks.cuts` measures it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

THUMBNAIL = 16
LEVEL = 1 / 255
MINIMUM_PIXELS = 2 * LEVEL  # change of a pixel below which compression may be the cause
MINIMUM_SHARE = 0.25  # of the pixels that change: a title that appears changes fewer
MINIMUM_CHANGE = 0.17
MINIMUM_RATIO = 2.2  # of the change to what is usual around it
MINIMUM_PIXEL_RATIO = 1.5  # the same of the pixels alone, not relative to contrast
NOISE = 4 * LEVEL  # contrast of which nobody can tell whether it is a pattern
SAME_PATTERN = 0.85  # correlation of one view under two exposures that clip
BEFORE, AFTER = 3, 2  # frames before and after the judged one that are looked at
# Pairs of these frames, which are numbered 0 … 5: number 3 is judged.
NEIGHBOURS = (((0, 1), (1, 2)), ((3, 4), (4, 5)))  # the two changes before, and the two after
RETURNS = ((2, 4), (2, 5), (1, 3), (0, 3))  # across one or two frames, ahead and back


class _Description(NamedTuple):
    pixels: Float[np.ndarray, "h w 3"]  # thumbnail, 0 … 1
    colours: Float[np.ndarray, "n 3"]  # the same, each channel sorted
    pattern: Float[np.ndarray, "h w 3"]  # thumbnail without its mean colour


def mark_cuts(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], bool]]:
    """Yield each frame with whether a new scene starts at it; the first one never counts.

    Runs two frames behind its input, so that a film of any length passes through.
    """
    # Frames around the judged one, which is number BEFORE; None beyond the ends of the video.
    window: deque[_Description | None] = deque([None] * (BEFORE + 1 + AFTER))
    waiting: deque[np.ndarray] = deque()
    for frame in frames:
        window.append(_describe(frame))
        window.popleft()
        waiting.append(frame)
        if len(waiting) > AFTER:
            yield waiting.popleft(), _is_cut(list(window))
    while waiting:
        window.append(None)
        window.popleft()
        # A film shorter than the look ahead has not reached the judged place yet.
        while window[BEFORE] is None:
            window.append(None)
            window.popleft()
        yield waiting.popleft(), _is_cut(list(window))


def find_cuts(frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> list[int]:
    """Return the indices of the frames at which a new scene starts, the first frame left out."""
    return [index for index, (_, cut) in enumerate(mark_cuts(frames)) if cut]


def _is_cut(window: list[_Description | None]) -> bool:
    before, judged = window[BEFORE - 1], window[BEFORE]
    if before is None or judged is None:
        return False
    change, pixels = _change(before, judged), _pixel_change(before, judged)
    if change <= MINIMUM_CHANGE:
        return False
    if pixels <= MINIMUM_PIXEL_RATIO * _usual(window, _pixel_change):
        return False
    lasting = min([change, *_changes(window, RETURNS, _change)])
    return lasting > MINIMUM_CHANGE and lasting > MINIMUM_RATIO * _usual(window, _change)


def _usual(window, change) -> float:
    """Return the change that is usual here, by the two before and the two after.

    Movement and fades go on, so the smaller of two on one side counts; where every other frame is
    held, as in drawn films, the mean of all does.
    """
    sides = [_changes(window, pairs, change) for pairs in NEIGHBOURS]
    together = sides[0] + sides[1]
    mean = sum(together) / len(together) if together else 0.0
    return max([mean, *(min(side) for side in sides if side)])


def _changes(window, pairs, change) -> list[float]:
    """Return the changes between pairs of the window, those beyond the film's ends left out."""
    frames = [(window[a], window[b]) for a, b in pairs]
    return [change(a, b) for a, b in frames if a is not None and b is not None]


def _describe(frame: UInt8[np.ndarray, "h w 3"]) -> _Description:
    thumbnail = Image.fromarray(frame).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    pixels = np.asarray(thumbnail, np.float32) / 255
    colours = np.sort(pixels.reshape(-1, 3), axis=0)
    return _Description(pixels, colours, pixels - pixels.mean((0, 1)))


def _pixel_change(a: _Description, b: _Description) -> float:
    return float(np.abs(a.pixels - b.pixels).mean())


def _change(a: _Description, b: _Description) -> float:
    """Return the change from one frame to another, 0 … 1; see the module's first lines."""
    differences = np.abs(a.pixels - b.pixels)
    if (differences.max(-1) > MINIMUM_PIXELS).mean() < MINIMUM_SHARE:
        return 0.0
    pixels = float(differences.mean())
    contrast = float(np.abs(a.pattern).mean() + np.abs(b.pattern).mean()) + NOISE
    colours = float(np.abs(a.colours - b.colours).mean())
    noise = (NOISE / 2) ** 2
    variances = [float((d.pattern**2).mean()) + noise for d in (a, b)]
    alike = float((a.pattern * b.pattern).mean()) / np.sqrt(variances[0] * variances[1])
    pattern = 1 - min(max(alike / SAME_PATTERN, 0.0), 1.0)
    return float(np.sqrt(min(pixels / contrast, 1.0) * min(colours / contrast, 1.0) * pattern))
