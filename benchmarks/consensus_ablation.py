r"""Lumiere's ablation of the consensus (figure 14): the same parameters with and without it.

python -m benchmarks.consensus_ablation --model=runs/demo --output=ablation

Held-out scenes of the synthetic set are rendered at the size of the model's super-resolution,
downsampled by area, and refined three times: in overlapping windows with a consensus at every step
(consensus), in windows sampled independently and concatenated (apart), and in one window over the
whole clip. Prints the difference of neighbouring frames at window borders over that inside windows
(1 means no seam), and PSNR against the rendered truth beside bicubic interpolation. Writes a plot
of the differences, a contact sheet and the numbers to --output.
"""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

import jax
import numpy as np
from absl import flags, logging
from etils import epath
from PIL import Image

from lumiere_jax import Lumiere
from lumiere_jax.evaluation.scenes import bicubic, shrunk
from lumiere_jax.metrics import psnr, window_seam_energy
from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.one_line_errors import run
from lumiere_jax.sampling import Stage
from lumiere_jax.video import contact_sheet, from_uint8, to_uint8

Arms = dict[str, np.ndarray]


class Ways(NamedTuple):
    """One network under the settings of each arm; created once, because each arm compiles."""

    consensus: Stage
    apart: Stage
    whole: Stage

    @classmethod
    def of(cls, stage: Stage, frames: int) -> Ways:
        """Return all arms of a stage whose settings are those of the consensus."""
        return cls(stage, stage.with_config(overlap=0), stage.with_config(window=frames))


def refine_each_way(ways: Ways, low: np.ndarray, seed: int = 0) -> tuple[Arms, dict[str, list]]:
    """Refine a clip in all ways; return the results, and the borders of the windows in each.

    Args:
      ways: the network under the settings of each arm.
      low: low-resolution clip [t, h, w, 3] in [-1, 1].
      seed: seed of the noise, the same in all arms.
    """
    frames, stage, alone = len(low), ways.consensus, ways.apart
    windows = stage.plan(frames)
    keys = jax.random.split(jax.random.key(seed), 1)
    starts = alone.plan(frames).starts
    pieces = []
    for number, start in enumerate(starts):
        own = jax.vmap(lambda key, n=number: jax.random.fold_in(key, n + 1))(keys)
        piece = low[None, start : start + windows.size]
        pieces.append(_sample(alone, own, piece)[: _length(starts, number, frames)])
    arms = {
        "consensus": _sample(stage, keys, low[None]),
        "apart": np.concatenate(pieces),
        "one window": _sample(ways.whole, keys, low[None]),
    }
    # The border of overlapping windows is the middle of the frames that they share.
    middle = -(-stage.settings.overlap // 2)
    borders = {
        "consensus": [start + middle for start in windows.starts[1:]],
        "apart": list(starts[1:]),
        "one window": list(starts[1:]),
    }
    return arms, borders


def _length(starts, number: int, frames: int) -> int:
    """Return the frames of window `number` before the next window begins."""
    return ([*starts[1:], frames])[number] - starts[number]


def _sample(stage: Stage, keys, low: np.ndarray) -> np.ndarray:
    clip = stage.sample(keys, None, None, frames=low.shape[1], low_resolution=low)
    return np.asarray(to_uint8(clip))[0]


def differences(video: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of each pair of neighbouring frames, in grey levels."""
    return np.abs(np.diff(video.astype(np.int16), axis=0)).mean((1, 2, 3))


def compare(
    stage: Stage, scenes: int, frames: int
) -> tuple[dict, dict[str, np.ndarray], list, dict]:
    """Return the numbers of each arm (means over scenes), their curves, the clips, the borders."""
    factor, size = stage.settings.factor, stage.settings.size
    shapes = MovingShapes(frames=frames, size=size, split="heldout")
    ways = Ways.of(stage, frames)
    numbers: dict[str, dict[str, list]] = {}
    curves: dict[str, list] = {}
    clips = []
    for scene in range(scenes):
        truth = shapes.clip(scene)
        low = shrunk(truth, size // factor)
        arms, borders = refine_each_way(ways, from_uint8(low), seed=scene)
        arms = {"truth": truth, "bicubic": bicubic(low, size), **arms}
        for name, video in arms.items():
            row = numbers.setdefault(name, {"psnr": [], "seam": []})
            row["psnr"].append(psnr(video, truth))
            row["seam"].append(window_seam_energy(video, borders.get(name, borders["apart"])))
            # Change that the network adds to the scene's own motion.
            curves.setdefault(name, []).append(differences(video) - differences(truth))
        clips.append(arms)
    means = {
        name: {key: float(np.mean(values)) for key, values in row.items()}
        for name, row in numbers.items()
    }
    return means, {name: np.mean(each, 0) for name, each in curves.items()}, clips, borders


def plot(curves: dict[str, np.ndarray], borders: dict, means: dict, path: epath.Path) -> None:
    """Plot the excess difference to the previous frame by frame, with window borders dotted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 1, sharex=True, sharey=True, figsize=(9, 5), dpi=120)
    for axis, name, title in zip(
        axes, ("apart", "consensus"), ("without consensus", "with consensus"), strict=True
    ):
        axis.plot(np.arange(1, len(curves[name]) + 1), curves[name], lw=1.2)
        for border in borders[name]:
            axis.axvline(border, ls=":", lw=0.8, color="grey")
        axis.set_title(f"{title}: border / inside = {means[name]['seam']:.2f}", fontsize=10)
        axis.set_ylabel("grey levels\nabove the truth's")
        axis.grid(alpha=0.25)
    axes[-1].set_xlabel("frame (dotted: borders of windows)")
    figure.tight_layout()
    with path.open("wb") as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)


def sheet(arms: Arms, frames: int) -> np.ndarray:
    """Return a contact sheet of one clip: bicubic, consensus and truth, a row each."""
    rows = ("bicubic", "consensus", "truth")
    return contact_sheet([arms[name] for name in rows], list(rows), columns=min(6, frames))


def define_flags() -> None:
    """Define the flags, only when this file is the program: tests import it beside others."""
    flags.DEFINE_string("model", "runs/demo", "Training run or model folder.")
    flags.DEFINE_string("output", "ablation", "Folder for the plot, the sheet, the numbers.")
    flags.DEFINE_integer("scenes", 4, "Clips to refine.", 1)
    flags.DEFINE_integer("frames", 80, "Frames of each.", 2)
    flags.DEFINE_integer("window", 8, "Frames of the network's input.", 2)
    flags.DEFINE_integer("overlap", 2, "Frames that neighbouring windows share.", 1)
    flags.DEFINE_string("window_weights", "uniform", "uniform, ramp or gaussian.")
    flags.DEFINE_float("augmentation", None, "Noise on the low-resolution clip.")


def main(_: list[str]) -> None:
    values = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # Orbax logs a page at every load
    stages = [stage for stage in Lumiere.load(values.model).cascade.stages if stage.refines]
    if not stages or stages[0].network.config.text_dim is not None:
        sys.exit(f"error: --model={values.model} has no super-resolution that works without text")
    changes = {"window": values.window, "overlap": values.overlap, "weights": values.window_weights}
    if values.augmentation is not None:
        changes["augmentation"] = values.augmentation
    stage = stages[0].with_config(**changes)
    means, curves, clips, borders = compare(stage, values.scenes, values.frames)
    print(f"{'':12}{'PSNR dB':>10}{'seam':>8}")
    for name, row in means.items():
        print(f"{name:12}{row['psnr']:10.2f}{row['seam']:8.3f}")
    folder = epath.Path(values.output)
    folder.mkdir(parents=True, exist_ok=True)
    plot(curves, borders, means, folder / "consensus.png")
    Image.fromarray(sheet(clips[0], values.frames)).save(folder / "refined.png")
    (folder / "consensus.json").write_text(json.dumps({"settings": changes, **means}, indent=2))


if __name__ == "__main__":
    define_flags()
    run(main)
