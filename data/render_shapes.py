"""Render synthetic scenes as captioned video files, in a folder like one of the user's videos.

    python -m data.render_shapes --output=videos/ --count=64 --size=64 --seed=0

Each `scene-00000.mp4` has its caption in `scene-00000.txt` beside it, ready for
`python -m lumiere_jax.prepare --source=videos/`. Training does not need these files: the input
pipeline renders the scenes itself (`--config.data.source=moving_shapes`).
"""

from __future__ import annotations

import tqdm
from absl import flags
from etils import epath

from lumiere_jax.input_pipeline.records import MAXIMUM_BYTES
from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.structure import check_range, check_whole

OUTPUT = define_path("output", None, "Folder to write; new or empty.", required=True)
COUNT = flags.DEFINE_integer("count", 64, "Number of videos.")
SIZE = flags.DEFINE_integer("size", 64, "Height and width in pixels; even.")
FRAMES = flags.DEFINE_integer("frames", 80, "Frames of each video.")
FPS = flags.DEFINE_float("fps", 16, "Frames a second.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the scenes.")
SPLIT = flags.DEFINE_enum("split", "train", ["train", "heldout"], "Set of combinations.")


def write_scenes(shapes: MovingShapes, output: epath.PathLike, fps: float) -> None:
    """Write every scene of a set as `scene-<number>.mp4` and `.txt`.

    Args:
      shapes: scenes to render.
      output: new or empty folder.
      fps: frames a second, 1 to 1000.

    Raises:
      FileExistsError: the folder is not empty.
      OSError: the folder cannot be written to.
      ValueError: the size is odd, which H.264 cannot store, or `fps` is outside of its range.
    """
    from lumiere_jax.video import check_output, write_mp4

    output = epath.Path(output)
    check_range("--fps", fps, 1, 1000)
    if shapes.size % 2:
        raise ValueError(f"--size={shapes.size}: H.264 needs an even size; try {shapes.size + 1}")
    if output.is_dir() and any(output.iterdir()):
        raise FileExistsError(f"--output={output} is not empty; give a new folder")
    check_output(output)
    output.mkdir(parents=True, exist_ok=True)
    for index in tqdm.trange(len(shapes), unit="video"):
        path = output / f"scene-{index:05d}.mp4"
        write_mp4(path, shapes.clip(index), fps)
        path.with_suffix(".txt").write_text(shapes.caption(index) + "\n")


def main(_: list[str]) -> None:
    """Render the videos that the flags describe."""
    check_whole("--count", COUNT.value, 1, 10**6)
    check_whole("--size", SIZE.value, 8, 4096)
    check_whole("--frames", FRAMES.value, 1, 10_000)
    check_whole("--seed", SEED.value, 0, 2**32 - 1)
    clip = FRAMES.value * SIZE.value**2 * 3
    if clip > MAXIMUM_BYTES:
        raise ValueError(
            f"--frames={FRAMES.value} of --size={SIZE.value} are {clip >> 30} GiB; give fewer or "
            f"smaller frames: a clip is rendered in memory, {MAXIMUM_BYTES >> 30} GiB at most"
        )
    shapes = MovingShapes(
        frames=FRAMES.value,
        size=SIZE.value,
        split=SPLIT.value,
        seed=SEED.value,
        examples=COUNT.value,
    )
    write_scenes(shapes, OUTPUT.value, FPS.value)
    print(f"{len(shapes)} videos with captions in {OUTPUT.value}")


if __name__ == "__main__":
    run(main)
