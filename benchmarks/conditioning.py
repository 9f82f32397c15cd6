"""Trained against free conditioning, measured on held-out synthetic clips.

    python -m benchmarks.conditioning --model=runs/demo --clips=8

Inpaints the middle of each clip (half of its side) and runs image-to-video from its first frame:
with the observed pixels as input of the network (trained), with the observed pixels only held
(free), and with resampling jumps in addition. Prints for each

    kept      PSNR of the observed pixels, dB
    hidden    PSNR of the inpainted pixels, against the clip's own, dB
    flicker   change from frame to frame on the ring inside the mask's border, over the clip's own
    seam      step across the border, over the clip's own
    jump      change from frame 0 (given) to frame 1 in image-to-video, over the clip's own

Ratios are best at 1.
"""

import numpy as np
from absl import flags

from lumiere_jax import Lumiere
from lumiere_jax.metrics import psnr
from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.one_line_errors import run

MODEL = flags.DEFINE_string("model", "runs/demo", "A run with a conditional stage, or its model.")
CLIPS = flags.DEFINE_integer("clips", 8, "Held-out clips.", 1)
STEPS = flags.DEFINE_integer("steps", None, "Denoising steps; the model's own by default.", 1)
JUMPS = {"jump_length": 5, "jump_repeats": 3}
WAYS = {"trained": ("trained", {}), "free": ("free", {}), "free, jumps": ("free", JUMPS)}


def main(_: list[str]) -> None:
    """Print the table for the flags."""
    model = Lumiere.load(MODEL.value)
    shapes = MovingShapes(
        frames=model.cascade.base.settings.frames, size=model.cascade.size, split="heldout"
    )
    changes = {} if STEPS.value is None else {"steps": STEPS.value}
    print(f"{CLIPS.value} clips of {shapes.frames} frames, {shapes.size} pixels")
    print(f"{'':12} {'kept':>8} {'hidden':>8} {'flicker':>8} {'seam':>8} {'jump':>8}")
    for name, (conditioning, jumps) in WAYS.items():
        options = {
            "conditioning": conditioning,
            "samplers": model.samplers(**changes, **jumps),
            "progress": False,
        }
        rows = [measure(model, shapes, number, options) for number in range(CLIPS.value)]
        print(f"{name:12} " + " ".join(f"{value:8.2f}" for value in np.mean(rows, 0)), flush=True)


def measure(model: Lumiere, shapes: MovingShapes, number: int, options: dict) -> list[float]:
    """Return the five numbers of one clip."""
    clip, caption = shapes.clip(number), shapes.caption(number)
    quarter = shapes.size // 4
    box = (quarter, quarter, 3 * quarter, 3 * quarter)
    hidden = np.zeros(clip.shape[:3], bool)
    hidden[:, quarter : 3 * quarter, quarter : 3 * quarter] = True
    filled = model.inpaint(caption, clip, boxes=[box], seed=number, **options).video
    begun = model.image_to_video(caption, clip[0], seed=number, **options).video
    return [
        psnr(filled, clip, ~hidden),
        psnr(filled, clip, hidden),
        _ratio(_flicker, filled, clip, quarter),
        _ratio(_seam, filled, clip, quarter),
        _ratio(lambda video, _: _change(video[1], video[0]), begun, clip, quarter),
    ]


def _ratio(function, made: np.ndarray, truth: np.ndarray, quarter: int) -> float:
    return function(made, quarter) / max(function(truth, quarter), 0.5)


def _flicker(video: np.ndarray, quarter: int) -> float:
    inside = video[:, quarter : 3 * quarter, quarter : 3 * quarter].astype(int)
    edges = (inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1])
    return float(np.mean([np.abs(np.diff(edge, axis=0)).mean() for edge in edges]))


def _seam(video: np.ndarray, quarter: int) -> float:
    rows, columns = video[:, :, quarter : 3 * quarter], video[:, quarter : 3 * quarter]
    first, last = quarter, 3 * quarter
    steps = (
        _change(rows[:, first], rows[:, first - 1]),
        _change(rows[:, last], rows[:, last - 1]),
        _change(columns[:, :, first], columns[:, :, first - 1]),
        _change(columns[:, :, last], columns[:, :, last - 1]),
    )
    return float(np.mean(steps))


def _change(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


if __name__ == "__main__":
    run(main)
