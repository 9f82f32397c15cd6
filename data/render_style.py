"""Draw a few captioned pictures in one style, for the style stage to learn.

    python -m data.render_style --output=style/ --count=8 --size=32

Scenes of the synthetic set are drawn as a blueprint: white outlines on squared blue paper, faintly
filled with their colour. `--config=configs/demo.py:style --config.data.source=images:style` then
trains the image half on this style. A folder of other images works too, with a text file beside
each.
"""

from __future__ import annotations

import numpy as np
import tqdm
from absl import flags
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.moving_shapes.rendering import signed_distance
from lumiere_jax.moving_shapes.scenes import COLOURS, Scene
from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.structure import check_whole
from lumiere_jax.video.new_file import check_output

PAPER, LINE, INK = (28, 66, 150), (52, 94, 180), (245, 248, 255)
SQUARES = 4  # along a side of the paper
FILLED = 0.45  # opacity of the colour inside of a shape
OUTLINE = 0.045  # width, in units of the frame's side


def blueprint(scene: Scene, time: float, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a scene as a blueprint.

    Args:
      scene: scene to draw.
      time: time in the clip, in [0, 1].
      size: height and width in pixels.
    """
    pose = scene.pose(np.array([time]))
    place = (np.arange(size) + 0.5) / size
    distance = signed_distance(
        scene.attributes.shape,
        (place[None, None, :] - pose.x[0]).astype(np.float32),
        (place[None, :, None] - pose.y[0]).astype(np.float32),
        np.float32(pose.radius[0]),
        np.float32(pose.angle[0]) if pose.angle.any() else None,
    )[0]
    inside = _antialiased(-distance, size)[..., None]
    outline = _antialiased(OUTLINE / 2 - np.abs(distance), size)[..., None]
    paper = np.where(_on_a_line(size)[..., None], LINE, PAPER).astype(np.float32)
    colour = np.array(COLOURS[scene.attributes.colour], np.float32)
    picture = paper + FILLED * inside * (colour - paper)
    picture += outline * (np.array(INK, np.float32) - picture)
    return np.round(picture).astype(np.uint8)


def _antialiased(distance: np.ndarray, size: int) -> np.ndarray:
    """Return the fraction of each pixel with `distance` > 0, in units of the frame's side."""
    return np.clip(0.5 + distance * size, 0, 1)


def _on_a_line(size: int) -> np.ndarray:
    number = np.arange(size)
    first = number * SQUARES // size != (number - 1) * SQUARES // size
    return first[:, None] | first[None, :]


def write_pictures(shapes: MovingShapes, output: epath.PathLike) -> None:
    """Write a picture of every scene of a set as `style-<number>.png` and `.txt`.

    Raises:
      FileExistsError: the folder is not empty.
      OSError: the folder cannot be written to.
    """
    output = epath.Path(output)
    if output.is_dir() and any(output.iterdir()):
        raise FileExistsError(f"--output={output} is not empty; give a new folder")
    check_output(output)
    output.mkdir(parents=True, exist_ok=True)
    for index in tqdm.trange(len(shapes), unit="picture"):
        path = output / f"style-{index:02d}.png"
        with path.open("wb") as file:
            picture = blueprint(shapes.scene(index), 0.5, shapes.size)
            Image.fromarray(picture).save(file, format="PNG")
        path.with_suffix(".txt").write_text(shapes.caption(index) + "\n")


def define_flags() -> None:
    """Define the flags, only if this file is the program: tests import it beside others."""
    define_path("output", None, "Folder to write; new or empty.", required=True)
    flags.DEFINE_integer("count", 8, "Number of pictures.")
    flags.DEFINE_integer("size", 32, "Height and width in pixels.")
    flags.DEFINE_integer("seed", 0, "Seed of the scenes.")


def main(_: list[str]) -> None:
    """Draw the pictures that the flags describe."""
    values = flags.FLAGS
    check_whole("--count", values.count, 1, 10**6)
    check_whole("--size", values.size, 8, 8192)
    check_whole("--seed", values.seed, 0, 2**32 - 1)
    shapes = MovingShapes(size=values.size, seed=values.seed, examples=values.count)
    write_pictures(shapes, values.output)
    print(f"{len(shapes)} pictures with captions in {values.output}")


if __name__ == "__main__":
    define_flags()
    run(main)
