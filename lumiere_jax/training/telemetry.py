"""What a run tells of itself: progress bar, `metrics.jsonl`, TensorBoard, the loss curve."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
from etils import epath
from jaxtyping import UInt8
from tensorboardX import SummaryWriter
from tqdm import tqdm

from lumiere_jax.json_files import read_json_lines
from lumiere_jax.video.contact_sheet import contact_sheet
from lumiere_jax.video.new_file import replaced_file

LINES = "metrics.jsonl"


def say(text: str) -> None:
    """One line for the person at the terminal, above the progress bar; by one process only."""
    if jax.process_index() == 0:
        tqdm.write(text)


class Telemetry:
    """Writes into a work directory, from process 0 alone; use it in a `with` block.

    Args:
      folder: the work directory.
      start: step that the run begins with; later lines of an interrupted run are dropped.
      steps: of the whole run.
      clips: in a batch.
    """

    def __init__(self, folder: epath.PathLike, *, start: int, steps: int, clips: int):
        self._folder = epath.Path(folder)
        self._writes = jax.process_index() == 0
        self._clips = clips
        self.flops = 0  # of a step, once it is known
        self._bar = tqdm(
            initial=start,
            total=steps,
            unit="step",
            desc=self._folder.name,
            disable=not self._writes,
            mininterval=1.0,
            dynamic_ncols=True,
        )
        if self._writes:
            self._drop_lines_after(start)
            self._lines = (self._folder / LINES).open("a")
            self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=start)

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()
        if self._writes:
            self._lines.close()
            self._board.close()
            plot_losses(self._folder)

    def advance(self) -> None:
        """One step has been sent to the device."""
        self._bar.update()

    def log(self, step: int, metrics: dict[str, float], seconds: float) -> None:
        """Metrics up to `step`, and the speed that follows from the seconds of a step."""
        speed = {
            "seconds_per_step": seconds,
            "clips_per_second": self._clips / seconds,
            "teraflops": self.flops / seconds / 1e12,
        }
        self._bar.set_postfix_str(
            f"loss {metrics['loss']:.4f}, {speed['clips_per_second']:.1f} clips/s, "
            f"{speed['teraflops']:.3g} TFLOP/s"
        )
        self.write(step, metrics | speed)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """One line of `metrics.jsonl`, and the same in TensorBoard."""
        if not self._writes:
            return
        scalars = {name: float(value) for name, value in scalars.items()}
        self._lines.write(json.dumps({"step": step} | scalars) + "\n")
        self._lines.flush()
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def samples(self, step: int, clips: UInt8[np.ndarray, "b t h w c"], prompts: Any) -> None:
        """Generated clips as one image in TensorBoard: a row a clip, its prompt underneath."""
        if not self._writes:
            return
        sheet = contact_sheet(list(clips), list(prompts))
        self._board.add_image("samples", sheet, step, dataformats="HWC")

    def _drop_lines_after(self, step: int) -> None:
        """Drop what will be done again: the steps after the last checkpoint, and half lines."""
        path = self._folder / LINES
        if path.exists():
            kept = [line for line in read_lines(path) if line["step"] <= step]
            with replaced_file(path) as written:  # a full disk must not cost the lines there are
                written.write_text("".join(json.dumps(line) + "\n" for line in kept))


def read_lines(path: epath.PathLike) -> list[dict[str, float]]:
    """Read the lines of a `metrics.jsonl`; what a crash or power cut left of one is left out."""
    lines = [line for _, line in read_json_lines(path)]
    return [line for line in lines if "step" in line and all(map(_is_number, line.values()))]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def plot_losses(folder: epath.PathLike) -> epath.Path | None:
    """Draws the losses in `metrics.jsonl` over the steps; returns the PNG, None without a loss."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder = epath.Path(folder)
    lines = read_lines(folder / LINES)
    figure, axes = pyplot.subplots(figsize=(6, 4), dpi=120)
    for name, label in (("loss", "training"), ("evaluation_loss", "evaluation")):
        points = [(line["step"], line[name]) for line in lines if line.get(name, 0) > 0]
        if points:
            axes.plot(*zip(*points), label=label)
    if not axes.lines:
        pyplot.close(figure)
        return None
    axes.set(xlabel="step", ylabel="loss", yscale="log", title=folder.name)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    path = folder / "loss.png"
    with path.open("wb") as file:
        figure.savefig(file, format="png")
    pyplot.close(figure)
    return path
