"""Size, quality and speed of the encodings in which clips can be stored.

    python -m benchmarks.video_encoding --videos=<folder> --size=128 --frames=80 --fps=16

Cuts the videos of a folder into clips as `lumiere_jax.prepare` does, adds rendered ones
(--synthetic), and prints a table for each: ratio of the raw bytes to the encoded ones, PSNR, and
milliseconds per clip on one core.
"""

import time
from collections.abc import Iterator

import numpy as np
from absl import flags
from etils import epath

from lumiere_jax.input_pipeline.encodings import ENCODINGS, find_encoding
from lumiere_jax.one_line_errors import run
from lumiere_jax.preparation.folders import VIDEO_SUFFIXES
from lumiere_jax.video import ClipConfig, VideoError, cut_clips

VIDEOS = flags.DEFINE_string("videos", None, "Folder of videos; without it, rendered clips only.")
SIZE = flags.DEFINE_integer("size", 128, "Side of the square frames, in pixels.")
FRAMES = flags.DEFINE_integer("frames", 80, "Frames of a clip.")
FPS = flags.DEFINE_float("fps", 16, "Frames per second.")
CLIPS = flags.DEFINE_integer("clips", 16, "Largest number of clips to measure.")
SYNTHETIC = flags.DEFINE_integer("synthetic", 4, "Rendered clips to measure.")
REPEATS = flags.DEFINE_integer("repeats", 3, "Times each clip is decoded; the fastest counts.")


def natural_clips(folder: epath.Path, settings: ClipConfig) -> Iterator[np.ndarray]:
    """Yield the clips [t, h, w, 3] of all readable videos of a folder."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            try:
                yield from (frames for _, frames in cut_clips(path, settings))
            except VideoError as error:
                print(f"{path.name}: {error}")


def rendered_clip(seed: int, settings: ClipConfig) -> np.ndarray:
    """Render a disc with a fading trail over a smooth background, as in the synthetic scenes."""
    rng = np.random.default_rng(seed)
    ground, colour = rng.uniform(0, 255, (2, 3))
    y, x = np.mgrid[: settings.size, : settings.size] / settings.size
    frames = np.empty((settings.frames, settings.size, settings.size, 3))
    trail = np.zeros_like(y)
    for index in range(settings.frames):
        centre = 0.5 + 0.3 * np.sin(index / 9 + np.array([0.0, 1.7]) + seed)
        disc = np.clip((0.15 - np.hypot(y - centre[0], x - centre[1])) * settings.size, 0, 1)
        trail = np.maximum(disc, 0.8 * trail)
        frames[index] = ground * (0.7 + 0.3 * y[..., None]) * (1 - trail[..., None])
        frames[index] += colour * trail[..., None]
    return frames.round().astype(np.uint8)


def measure(name: str, clips: list[np.ndarray], fps: float) -> dict[str, float]:
    """Return kB and milliseconds per clip, raw bytes over encoded bytes, and PSNR in dB."""
    encoding = find_encoding(name)
    begin = time.perf_counter()
    encoded = [encoding.encode(clip, fps) for clip in clips]
    encode_seconds = time.perf_counter() - begin
    seconds = {"all": 0.0, "one": 0.0}
    squared_error = []
    for clip, data in zip(clips, encoded, strict=True):
        middle = len(clip) // 2
        seconds["all"] += _fastest(encoding.decode, data, clip.shape, 0, len(clip))
        seconds["one"] += _fastest(encoding.decode, data, clip.shape, middle, middle + 1)
        decoded = encoding.decode(data, clip.shape, 0, len(clip)).astype(float)
        squared_error.append(np.mean((decoded - clip) ** 2))
    size = sum(map(len, encoded))
    error = np.mean(squared_error)
    return {
        "kB": size / len(clips) / 1e3,
        "ratio": sum(clip.nbytes for clip in clips) / size,
        "PSNR": 10 * np.log10(255**2 / error) if error else np.inf,
        "encode ms": 1e3 * encode_seconds / len(clips),
        "decode ms": 1e3 * seconds["all"] / len(clips),
        "one frame ms": 1e3 * seconds["one"] / len(clips),
    }


def _fastest(function, *arguments) -> float:
    times = []
    for _ in range(REPEATS.value):
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    return min(times)


def report(title: str, clips: list[np.ndarray], fps: float) -> None:
    """Print a Markdown table of all encodings."""
    print(f"\n{title}: {len(clips)} clips of shape {list(clips[0].shape)}\n")
    rows = {name: measure(name, clips, fps) for name in ENCODINGS}
    columns = list(next(iter(rows.values())))
    print(f"| encoding | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in row.values())} |")


def main(argv: list[str]) -> None:
    """Measure the clips that the flags name."""
    del argv
    settings = ClipConfig(size=SIZE.value, frames=FRAMES.value, fps=FPS.value)
    if VIDEOS.value:
        clips = list(natural_clips(epath.Path(VIDEOS.value), settings))[: CLIPS.value]
        if not clips:
            raise SystemExit(f"error: --videos={VIDEOS.value} gave no clip; try --frames=16")
        report("natural", clips, FPS.value)
    if SYNTHETIC.value:
        rendered = [rendered_clip(seed, settings) for seed in range(SYNTHETIC.value)]
        report("rendered", rendered, FPS.value)


if __name__ == "__main__":
    run(main)
