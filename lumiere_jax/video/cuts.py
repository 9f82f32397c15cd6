"""Find scene cuts: frames at which the picture changes completely, and does not change back.

Frames are compared as 16 × 16 thumbnails, by three distances in [0, 1]: of the pixels; of the
colours regardless of their place (the earth mover's distance of their distributions); and of the
pattern, by the correlation, which does not respond to a change of exposure. The first two are
relative to the contrast of the frames, so that dark scenes count like bright ones. Movement changes
the pixels and hardly the colours, a fade or a flash the colours and hardly the pattern; a cut
changes all three. The change is the square root of their product. It is a cut if it is

  large          above `MINIMUM_CHANGE`;
  lasting        the frames two before differ from those two after: a flash returns to the old shot
                 within two frames. A shot of one or two frames inside of a scene is not a cut;
  sudden         large compared with the changes around it, since fast movement makes many in a row,
                 and fades and dissolves change as much in every frame.

Only hard cuts are found, no dissolves and fades. `python -m benchmarks.cuts` measures the accuracy.
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
MINIMUM_SHARE = 0.25  # fraction of pixels that must change: a title that appears changes fewer
MINIMUM_CHANGE = 0.17
MINIMUM_RATIO = 2.2  # of the change to the usual change around it
MINIMUM_PIXEL_RATIO = 1.5  # the same for the pixels alone, not relative to contrast
NOISE = 4 * LEVEL  # contrast that cannot be told from noise
SAME_PATTERN = 0.85  # correlation of one view under two exposures that clip
BEFORE, AFTER = 3, 2  # frames before and after the judged one that are compared
# Pairs of these frames, which are numbered 0 … 5: number 3 is judged.
NEIGHBOURS = (((0, 1), (1, 2)), ((3, 4), (4, 5)))  # the two changes before, and the two after
RETURNS = ((2, 4), (2, 5), (1, 3), (0, 3))  # one or two frames further apart


class _Description(NamedTuple):
    pixels: Float[np.ndarray, "h w 3"]  # thumbnail, 0 … 1
    colours: Float[np.ndarray, "n 3"]  # the same, each channel sorted
    pattern: Float[np.ndarray, "h w 3"]  # thumbnail without its mean colour


def mark_cuts(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], bool]]:
    """Yield (frame, True if a new scene starts at it); the first frame never counts.

    Reads two frames ahead, so that a film of any length needs little memory.
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
        # In a film shorter than AFTER no frame has reached the judged place yet.
        while window[BEFORE] is None:
            window.append(None)
            window.popleft()
        yield waiting.popleft(), _is_cut(list(window))


def find_cuts(frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> list[int]:
    """Return the indices of the frames at which a new scene starts, except the first frame."""
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
    """Return the usual change around the judged frame, by the two before and the two after.

    Movement and fades last, so the smaller of the two on one side counts; where every other frame
    repeats the one before, as in drawn films, the mean of all four counts.
    """
    sides = [_changes(window, pairs, change) for pairs in NEIGHBOURS]
    together = sides[0] + sides[1]
    mean = sum(together) / len(together) if together else 0.0
    return max([mean, *(min(side) for side in sides if side)])


def _changes(window, pairs, change) -> list[float]:
    """Return the changes between pairs of the window, except beyond the film's ends."""
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
    """Return the change between two frames, 0 … 1, as the module's docstring defines it."""
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
