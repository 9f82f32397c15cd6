"""Cut a video file into clips: constant frame rate, square frames, exact length, no scene cut."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.structure import check_choice, check_fields
from lumiere_jax.video.cuts import mark_cuts
from lumiere_jax.video.decode import open_video
from lumiere_jax.video.frame import DecodedFrame
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.resample import check_rate, resample
from lumiere_jax.video.resize import resize_and_crop
from lumiere_jax.video.scenedetect import check_scenedetect, mark_adaptive_cuts

MAXIMUM_SIDE = 8192  # pixels; no model needs more
CUT_DETECTORS = {"builtin": mark_cuts, "adaptive": mark_adaptive_cuts}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Format of the clips, and how videos are cut into them.

    Attributes:
      size: height and width of the square frames, in pixels.
      frames: frames of a clip.
      fps: frames a second.
      limits: largest video that is read.
      cuts: detector of scene cuts, "builtin" or "adaptive" (PySceneDetect's).
    """

    size: int = 128
    frames: int = 80
    fps: float = 16.0
    limits: ReadLimits = dataclasses.field(default_factory=ReadLimits)
    cuts: str = "builtin"

    def __post_init__(self):
        check_choice("cuts", self.cuts, list(CUT_DETECTORS))
        if self.cuts == "adaptive":
            check_scenedetect()
        check_fields(self, whole={"size": (1, MAXIMUM_SIDE), "frames": (1, 1 << 16)})
        check_rate("fps", self.fps)


def cut_clips(
    path: epath.PathLike, settings: ClipConfig
) -> Iterator[tuple[float, UInt8[np.ndarray, "t h w 3"]]]:
    """Yield (start in seconds, frames [t, h, w, 3]) of every clip of a video, in order.

    Each scene is divided from its start into consecutive clips; the frames left over at its end are
    not used. Where timestamps jump back, as in files put one behind the other, a new scene starts,
    and its time starts at the end of the scene before.

    Raises:
      FileNotFoundError: the file does not exist.
      VideoError: the file cannot be used; reason "too short" if no scene fills a clip. Raised after
        the last good clip if only the end is damaged.
    """
    longest = clips = run = 0
    with open_video(path, settings.limits) as video:
        shown = resample(video.frames(), settings.fps, video.tick)
        waiting: list[np.ndarray] = []
        for index, (frame, starts_scene) in enumerate(_scenes(shown, settings)):
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


def _scenes(
    shown: Iterable[DecodedFrame], settings: ClipConfig
) -> Iterator[tuple[UInt8[np.ndarray, "size size 3"], bool]]:
    """Yield (square frame, True if a new scene starts at it); every section starts a scene."""
    mark = CUT_DETECTORS[settings.cuts]
    for _, section in itertools.groupby(shown, lambda frame: frame.section):
        for index, (square, cut) in enumerate(mark(square_frames(section, settings.size))):
            yield square, cut or index == 0


def square_frames(
    frames: Iterable[DecodedFrame], size: int
) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
    """Yield upright RGB squares; a repeated frame is converted once."""
    return converted(frames, lambda frame: resize_and_crop(frame.rgb(), size, frame.pixel_aspect))


def converted(
    frames: Iterable[DecodedFrame], convert: Callable[[DecodedFrame], np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield `convert(frame)` of every frame; a repeated frame is converted once."""
    previous, picture = None, None
    for frame in frames:
        if frame is not previous:
            picture = convert(frame)
            previous = frame
        yield picture
