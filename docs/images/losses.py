"""Plot the losses of a run's stages by step, docs/images/demo_losses.png by default.

python docs/images/losses.py runs/demo [docs/images/demo_losses.png]

Training losses are running means over twenty lines of `metrics.jsonl`, because the few random times
of a batch make them noisy. Held-out losses use the same clips, times and noise every time.
"""

import pathlib
import sys

import matplotlib
import numpy as np

from lumiere_jax.training.metric_writer import read_lines

matplotlib.use("Agg")
from matplotlib import pyplot

STAGES = ("image", "base", "conditional", "ssr_image", "ssr", "style")
MEAN = 20


def smooth(values: list[float]) -> np.ndarray:
    """Return the running mean over each value and the MEAN - 1 values before it."""
    sums = np.cumsum([0.0, *values])
    first = np.maximum(np.arange(len(values)) - MEAN + 1, 0)
    last = np.arange(1, len(values) + 1)
    return (sums[last] - sums[first]) / (last - first)


def draw(run: pathlib.Path, path: pathlib.Path) -> None:
    """Plot a panel for each stage of the run."""
    stages = [stage for stage in STAGES if (run / stage / "metrics.jsonl").exists()]
    if not stages:
        sys.exit(f"error: {run} holds no stage with a metrics.jsonl; name a run such as runs/demo")
    rows = -(-len(stages) // 3)
    figure, axes = pyplot.subplots(rows, 3, figsize=(10, 2.7 * rows), dpi=110)
    for axis in axes.flat:
        axis.set_visible(False)
    for axis, stage in zip(axes.flat, stages):
        axis.set_visible(True)
        lines = read_lines(run / stage / "metrics.jsonl")
        for name, label in (("loss", "training"), ("evaluation_loss", "held out")):
            points = [(line["step"], line[name]) for line in lines if name in line]
            if points:
                steps, values = zip(*points)
                mark = "o" if name == "evaluation_loss" else None
                axis.plot(steps, values if mark else smooth(values), marker=mark, ms=4, label=label)
        axis.set(title=stage, xlabel="step", yscale="log")
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, format="png")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("error: name the run: python docs/images/losses.py runs/demo [picture.png]")
    default = pathlib.Path(__file__).with_name("demo_losses.png")
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else default
    draw(pathlib.Path(sys.argv[1]), target)
    print(target)
