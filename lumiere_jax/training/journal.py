"""Metrics of steps that may still be running, read one log interval late.

Reading a metric waits for its step. So the loop hands them over unread, and they are read when the
next interval is full: by then they are there, and the devices never wait for the log.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from lumiere_jax.training.telemetry import Telemetry


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


class Journal:
    """Keeps the metrics of the steps and logs them interval by interval.

    Args:
      telemetry: where they go.
      interval: steps between two lines.
      stop_after_skipped: refused updates in a row after which `TrainingDiverged` is raised.
    """

    AHEAD = 2  # steps the host may run ahead of the devices; each holds a batch in their memory

    def __init__(self, telemetry: Telemetry, *, interval: int, stop_after_skipped: int):
        self._telemetry = telemetry
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
        self._telemetry.log(entries[-1].step, means | counters, interval.seconds)
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
