"""One video file into clips: steady frame rate, square frames, exact length, no cut inside."""

import dataclasses
import math
from collections.abc import Iterable, Iterator

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.video.cuts import mark_cuts
from lumiere_jax.video.decode import DecodedFrame, open_video
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.resample import resample
from lumiere_jax.video.resize import resize_and_crop


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """What a clip looks like: `frames` squares of `size` pixels at `fps` frames a second."""

    size: int = 128
    frames: int = 80
    fps: float = 16.0
    limits: ReadLimits = dataclasses.field(default_factory=ReadLimits)

    def __post_init__(self):
        for name, example in (("size", 128), ("frames", 80), ("fps", 16)):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive, got {name}={value}; try {example}")


def cut_clips(
    path: epath.PathLike, settings: ClipSettings
) -> Iterator[tuple[float, UInt8[np.ndarray, "t h w 3"]]]:
    """Yields (start in seconds, frames [t, h, w, 3]) of every clip of a video, in order.

    Each scene is divided from its start into clips that follow one another; what is left of it
    at the end is not used.

    Raises:
      FileNotFoundError: where there is no such file.
      VideoError: where the file cannot be used. Reason "too short": no scene fills a clip.
        Raised after the last good clip where only the end is damaged.
    """
    longest = clips = run = 0
    with open_video(path, settings.limits) as video:
        shown = resample(video.frames(), settings.fps, video.tick)
        squares = square_frames(shown, settings.size, video.pixel_aspect)
        waiting: list[np.ndarray] = []
        for index, (frame, starts_scene) in enumerate(mark_cuts(squares)):
            if starts_scene:
                waiting, run = [], 0
            waiting.append(frame)
            run += 1
            longest = max(longest, run)
            if len(waiting) == settings.frames:
                yield (index + 1 - settings.frames) / settings.fps, np.stack(waiting)
                waiting = []
                clips += 1
    if not clips:
        raise VideoError(
            "too short",
            f"the longest scene has {longest} frames at {settings.fps:g} fps, "
            f"a clip needs {settings.frames}",
        )


def square_frames(
    frames: Iterable[DecodedFrame], size: int, pixel_aspect: float = 1.0
) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
    """Upright RGB squares; a frame that is held is converted once."""
    previous, square = None, None
    for frame in frames:
        if frame is not previous:
            aspect = 1 / pixel_aspect if frame.sideways else pixel_aspect
            square = resize_and_crop(frame.rgb(), size, aspect)
            previous = frame
        yield square
