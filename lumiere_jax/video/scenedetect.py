"""Find cuts with PySceneDetect's adaptive detector, where it is installed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lumiere_jax.one_line_errors import MissingExtra

DELAY = 2  # frames by which the detector's decisions lag behind


def check_scenedetect() -> None:
    """Raise MissingExtra with the pip command unless PySceneDetect can be imported."""
    try:
        import scenedetect  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"--cuts=adaptive needs PySceneDetect ({error}): pip install 'lumiere-jax[scenedetect]'"
        ) from error


def mark_adaptive_cuts(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], bool]]:
    """Yield (frame, True if a new scene starts at it), as `cuts.mark_cuts` does.

    A scene may have one frame; all other parameters are PySceneDetect's defaults.

    Raises:
      MissingExtra: PySceneDetect is not installed.
    """
    check_scenedetect()
    import scenedetect

    yield from _marked(scenedetect.AdaptiveDetector(min_scene_len=1), frames)


def find_cuts_with(detector: Any, frames: Iterable[np.ndarray]) -> list[int]:
    """Return the indices of the frames at which one of PySceneDetect's detectors finds a cut."""
    return [index for index, (_, cut) in enumerate(_marked(detector, frames)) if cut]


def _marked(detector: Any, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    from scenedetect import FrameTimecode

    waiting: deque[tuple[int, np.ndarray]] = deque()
    cuts: set[int] = set()
    for number, frame in enumerate(frames):
        # Its channels are blue, green, red; the frame rate does not matter, only the order.
        time = FrameTimecode(number, fps=25.0)
        bgr = np.ascontiguousarray(frame[..., ::-1])
        cuts.update(cut.frame_num for cut in detector.process_frame(time, bgr))
        waiting.append((number, frame))
        if len(waiting) > DELAY:
            first, oldest = waiting.popleft()
            yield oldest, first in cuts
    for first, oldest in waiting:
        yield oldest, first in cuts
