"""Preemption: signals that end a run after the current step and a checkpoint."""

from __future__ import annotations

import signal
from typing import Any

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Handler of SIGTERM and SIGINT; a second signal ends the process at once.

    with Preemption() as preemption:
        ...
        if preemption.at(step): save and exit
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)
    EXIT_CODE = 75  # EX_TEMPFAIL ("try again"): a launcher runs the same command again

    def __init__(self):
        self._received: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Preemption:
        # With several processes JAX handles SIGTERM, so that all of them stop at the same step.
        if jax.process_count() == 1:
            self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: Any) -> None:
        self._restore()

    def at(self, step: int) -> str | None:
        """Return the name of the signal that was received, or None.

        Args:
          step: number of the next step; with several processes all of them get the signal at the
            same step.
        """
        if jax.process_count() > 1 and multihost_utils.reached_preemption_sync_point(step):
            return "SIGTERM"
        return self._received

    def _note(self, number: int, _frame: Any) -> None:
        self._received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
