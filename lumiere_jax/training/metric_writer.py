"""Metrics of a run: progress bar, `metrics.jsonl`, TensorBoard, and the plot of the losses."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from etils import epath
from jaxtyping import UInt8
from tensorboardX import SummaryWriter
from tqdm import tqdm

from lumiere_jax.json_files import read_json_lines
from lumiere_jax.video.contact_sheet import contact_sheet
from lumiere_jax.video.new_file import replaced_file

LINES = "metrics.jsonl"


def say(text: str) -> None:
    """Print a line above the progress bar, on process 0 only."""
    if jax.process_index() == 0:
        tqdm.write(text)


class MetricWriter:
    """Writer of the metrics in a work directory, on process 0 only; use it in a `with` block.

    Args:
      folder: work directory.
      start: step that the run begins or resumes at; later lines of `metrics.jsonl` are dropped.
      steps: total number of steps of the run.
      clips: number of clips in a batch.
      flops: floating-point operations per step, over all devices.
    """

    def __init__(
        self, folder: epath.PathLike, *, start: int, steps: int, clips: int, flops: int = 0
    ):
        self._folder = epath.Path(folder)
        self._writes = jax.process_index() == 0
        self._clips = clips
        self._flops = flops
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

    def __enter__(self) -> MetricWriter:
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()
        if self._writes:
            self._lines.close()
            self._board.close()
            plot_losses(self._folder)

    def advance(self) -> None:
        """Advance the progress bar by one step."""
        self._bar.update()

    def log(self, step: int, metrics: dict[str, float], seconds: float) -> None:
        """Write metrics and speed, and show them in the progress bar.

        Args:
          step: last step that the metrics are of.
          metrics: "loss" and others, by name.
          seconds: seconds per step.
        """
        speed = {
            "seconds_per_step": seconds,
            "clips_per_second": self._clips / seconds,
            "teraflops": self._flops / seconds / 1e12,
        }
        self._bar.set_postfix_str(
            f"loss {metrics['loss']:.4f}, {speed['clips_per_second']:.1f} clips/s, "
            f"{speed['teraflops']:.3g} TFLOP/s"
        )
        self.write(step, metrics | speed)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Write numbers as a line of `metrics.jsonl`, and to TensorBoard.

        Args:
          step: step that the numbers are of.
          scalars: numbers by name.
        """
        if not self._writes:
            return
        scalars = {name: float(value) for name, value in scalars.items()}
        self._lines.write(json.dumps({"step": step} | scalars) + "\n")
        self._lines.flush()
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def samples(self, step: int, clips: UInt8[np.ndarray, "b t h w c"], prompts: Any) -> None:
        """Write sampled clips as one image to TensorBoard: a row per clip, its prompt underneath.

        Args:
          step: step that the clips were sampled at.
          clips: sampled clips.
          prompts: prompt of each clip.
        """
        if not self._writes:
            return
        sheet = contact_sheet(list(clips), list(prompts))
        self._board.add_image("samples", sheet, step, dataformats="HWC")

    def _drop_lines_after(self, step: int) -> None:
        """Drop the lines of steps that will be run again, and incomplete lines."""
        path = self._folder / LINES
        if path.exists():
            kept = [line for line in read_lines(path) if line["step"] <= step]
            with replaced_file(path) as written:  # keeps the old lines if the disk is full
                written.write_text("".join(json.dumps(line) + "\n" for line in kept))


def read_lines(path: epath.PathLike) -> list[dict[str, float]]:
    """Read the lines of a `metrics.jsonl`, without incomplete ones."""
    lines = [line for _, line in read_json_lines(path)]
    return [line for line in lines if "step" in line and all(map(_is_number, line.values()))]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def plot_losses(folder: epath.PathLike) -> epath.Path | None:
    """Plot the losses in `metrics.jsonl` over the steps; return the PNG, or None without a loss.

    Args:
      folder: work directory, which gets the PNG.
    """
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


class TrainingDiverged(RuntimeError):
    """Error: too many updates in a row were refused."""


class Entry(NamedTuple):
    """A step that may still run.

    Attributes:
      step: number of the step, from 1.
      metrics: metrics on the device.
      records: record numbers of the batch's rows; None if the data has none.
    """

    step: int
    metrics: dict[str, jax.Array]
    records: np.ndarray | None


class Interval(NamedTuple):
    """The steps of one line of metrics.

    Attributes:
      entries: steps in order.
      seconds: mean seconds per step.
    """

    entries: list[Entry]
    seconds: float


class DelayedMetrics:
    """Metrics of steps that may still run; they are logged one interval later, without a wait.

    Args:
      writer: writer of the metrics.
      interval: steps between two lines of metrics.
      stop_after_skipped: number of refused updates in a row after which `TrainingDiverged` is
        raised.
    """

    AHEAD = 2  # steps that the host may be ahead of the devices, each with a batch in their memory

    def __init__(self, writer: MetricWriter, *, interval: int, stop_after_skipped: int):
        self._writer = writer
        self._interval = interval
        self._stop_after = stop_after_skipped
        self._recent: list[Entry] = []
        self._current: list[Entry] = []
        self._waiting: Interval | None = None
        self.restart_clock()

    def restart_clock(self) -> None:
        """Exclude the time until now (compilation, evaluation) from the seconds per step."""
        self._since = time.perf_counter()

    def add(self, step: int, metrics: dict[str, jax.Array], records: np.ndarray | None) -> None:
        """Add the metrics of a step that was just dispatched.

        Args:
          step: number of the step, from 1.
          metrics: metrics on the device.
          records: record numbers of the batch's rows, for warnings.

        Raises:
          TrainingDiverged: too many updates in a row of an earlier interval were refused.
        """
        entry = Entry(step, metrics, records)
        self._current.append(entry)
        self._recent = [*self._recent, entry][-1 - self.AHEAD :]
        if len(self._recent) > self.AHEAD:
            jax.block_until_ready(self._recent[0].metrics)
        if step % self._interval == 0:
            sealed = self._seal()
            self._read(self._waiting)
            self._waiting = sealed

    def flush(self) -> None:
        """Wait for all steps, and log their metrics.

        Raises:
          TrainingDiverged: too many updates in a row were refused.
        """
        jax.block_until_ready([entry.metrics for entry in self._current])
        sealed = self._seal()
        self._read(self._waiting)
        self._read(sealed)
        self._waiting = None

    def _seal(self) -> Interval | None:
        entries, self._current = self._current, []
        seconds = (time.perf_counter() - self._since) / max(1, len(entries))
        self.restart_clock()
        return Interval(entries, seconds) if entries else None

    def _read(self, interval: Interval | None) -> None:
        if interval is None:
            return
        entries = interval.entries
        values = jax.device_get([entry.metrics for entry in entries])
        good = [v for v in values if v["skipped_in_a_row"] == 0] or values
        means = {name: float(np.mean([v[name] for v in good])) for name in values[-1]}
        counters = {name: float(values[-1][name]) for name in ("skipped", "skipped_in_a_row")}
        self._writer.log(entries[-1].step, means | counters, interval.seconds)
        for entry, value in zip(entries, values):
            self._check(entry, int(value["skipped_in_a_row"]))

    def _check(self, entry: Entry, refused: int) -> None:
        if not refused:
            return
        records = [] if entry.records is None else np.asarray(entry.records).tolist()
        logging.warning(
            "step %d: loss or gradient is not finite, no update; records %s", entry.step, records
        )
        if refused >= self._stop_after:
            raise TrainingDiverged(
                f"{refused} updates in a row were refused, the last at step {entry.step} (records "
                f"{json.dumps(records)}): lower --config.optimizer.learning_rate, or look at those "
                "clips; the parameters of the last good step are kept"
            )
