"""What a run tells of itself: progress bar, `metrics.jsonl`, TensorBoard, the loss curve."""

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
    """One line for the person at the terminal, above the progress bar; by one process only."""
    if jax.process_index() == 0:
        tqdm.write(text)


class MetricWriter:
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

    def __enter__(self) -> MetricWriter:
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


class TrainingDiverged(RuntimeError):
    """Too many updates in a row were refused."""


class Entry(NamedTuple):
    """A step on its way: its number, its metrics on the device, the records it read."""

    step: int
    metrics: dict[str, jax.Array]
    records: np.ndarray | None


class Interval(NamedTuple):
    """The steps between two lines of the log, and the seconds that each of them took."""

    entries: list[Entry]
    seconds: float


class DelayedMetrics:
    """Keeps the metrics of the steps and logs them interval by interval.

    Args:
      writer: where they go.
      interval: steps between two lines.
      stop_after_skipped: refused updates in a row after which `TrainingDiverged` is raised.
    """

    AHEAD = 2  # steps the host may run ahead of the devices; each holds a batch in their memory

    def __init__(self, writer: MetricWriter, *, interval: int, stop_after_skipped: int):
        self._writer = writer
        self._interval = interval
        self._stop_after = stop_after_skipped
        self._recent: list[Entry] = []
        self._current: list[Entry] = []
        self._waiting: Interval | None = None
        self.restart_clock()

    def restart_clock(self) -> None:
        """What took time until now (compiling, evaluating) is not counted as training."""
        self._since = time.perf_counter()

    def add(self, step: int, metrics: dict[str, jax.Array], records: np.ndarray | None) -> None:
        """Takes the metrics of a step that was just sent off."""
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
        """Reads everything that is left; waits for it."""
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
                "clips; the weights of the last good step are kept"
            )
