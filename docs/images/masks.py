"""Draw docs/images/masks.png: the observed video of the conditional stage, by kind of mask.

python docs/images/masks.py
"""

import pathlib

import numpy as np

from lumiere_jax.input_pipeline.masks import KINDS
from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.video import write_contact_sheet

UNKNOWN = (250, 210, 225)
SHAPES = MovingShapes(frames=16, size=96, split="heldout")
ROWS = {
    "image_to_video": (1, "image to video: the first frame"),
    "continuation": (0, "continuation: the first or the last k frames"),
    "inpaint": (11, "inpainting: boxes or strokes that stand still …"),
    "inpaint ": (0, "… or move"),
    "outpaint": (2, "outpainting: a border is hidden"),
    "cinemagraph": (4, "cinemagraph: the first frame repeated, a region of it free to move"),
    "none": (0, "none: text to video"),
}


def shown(kind: str, seed: int) -> np.ndarray:
    """Return the observed video with its hidden pixels in one colour, uint8 [t, h, w, 3]."""
    clip = SHAPES.clip(4)
    mask, still = KINDS[kind.strip()](np.random.default_rng(seed), clip.shape[:3])
    return np.where(mask, clip[:1] if still else clip, np.array(UNKNOWN, np.uint8))


if __name__ == "__main__":
    path = pathlib.Path(__file__).with_name("masks.png")
    path.unlink(missing_ok=True)
    rows = [shown(kind, seed) for kind, (seed, _) in ROWS.items()]
    write_contact_sheet(path, rows, [caption for _, caption in ROWS.values()])
    print(path)
