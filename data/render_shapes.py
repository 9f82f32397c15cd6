"""Writes synthetic scenes as captioned video files, as one's own videos would lie in a folder.

    python -m data.render_shapes --output=videos/ --count=64 --size=64 --seed=0

Each `scene-00000.mp4` has its caption in `scene-00000.txt` beside it, ready for
`python -m data.prepare --source=videos/`. Training needs no such files: the input pipeline draws
these scenes by itself (`--config.data.source=moving_shapes`).
"""

from __future__ import annotations

import tqdm
from absl import app, flags
from etils import epath

from lumiere_jax.input_pipeline import MovingShapes

OUTPUT = flags.DEFINE_string("output", None, "Folder to write; new or empty.", required=True)
COUNT = flags.DEFINE_integer("count", 64, "Videos.", lower_bound=1)
SIZE = flags.DEFINE_integer("size", 64, "Height and width in pixels; even.")
FRAMES = flags.DEFINE_integer("frames", 80, "Frames of each.", lower_bound=1)
FPS = flags.DEFINE_float("fps", 16, "Frames a second.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Other scenes for every seed.", lower_bound=0)
SPLIT = flags.DEFINE_enum("split", "train", ["train", "heldout"], "Combinations to show.")


def write_scenes(shapes: MovingShapes, output: epath.PathLike, fps: float) -> None:
    """Writes every scene of a set as `scene-<number>.mp4` and `.txt`.

    Raises:
      FileExistsError: the folder holds something.
      ValueError: the size is odd, which H.264 cannot store.
    """
    from lumiere_jax.video import write_mp4

    output = epath.Path(output)
    if shapes.size % 2:
        raise ValueError(f"--size={shapes.size}: H.264 needs an even size; try {shapes.size + 1}")
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"--output={output} is not empty; give a new folder")
    output.mkdir(parents=True, exist_ok=True)
    for index in tqdm.trange(len(shapes), unit="video"):
        path = output / f"scene-{index:05d}.mp4"
        write_mp4(path, shapes.clip(index), fps)
        path.with_suffix(".txt").write_text(shapes.caption(index) + "\n")


def main(argv: list[str]) -> None:
    """Writes what the flags say."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; write --flag=value")
    try:
        shapes = MovingShapes(
            frames=FRAMES.value,
            size=SIZE.value,
            split=SPLIT.value,
            seed=SEED.value,
            examples=COUNT.value,
        )
        write_scenes(shapes, OUTPUT.value, FPS.value)
    except (ValueError, FileExistsError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{len(shapes)} videos with captions in {OUTPUT.value}")


if __name__ == "__main__":
    app.run(main)
