"""All metrics are written, although late, and skipped steps are reported with their records."""

import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.training.metric_writer import DelayedMetrics, TrainingDiverged


class Lines:
    def __init__(self):
        self.lines = []

    def log(self, step, metrics, seconds):
        assert seconds >= 0
        self.lines.append((step, metrics))


def metrics(loss, in_a_row=0, skipped=0):
    values = {"loss": loss, "skipped": skipped, "skipped_in_a_row": in_a_row}
    return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}


def test_an_interval_is_logged_when_the_next_one_is_full():
    lines = Lines()
    journal = DelayedMetrics(lines, interval=2, stop_after_skipped=3)
    for step in range(1, 6):
        journal.add(step, metrics(float(step)), None)
        assert [line[0] for line in lines.lines] == ([2] if step >= 4 else [])
    journal.flush()
    assert [(step, line["loss"]) for step, line in lines.lines] == [(2, 1.5), (4, 3.5), (5, 5.0)]


def test_refused_steps_are_left_out_of_the_mean_and_told_with_their_records(caplog):
    lines = Lines()
    journal = DelayedMetrics(lines, interval=2, stop_after_skipped=3)
    journal.add(1, metrics(2.0), np.array([4, 5]))
    journal.add(2, metrics(float("nan"), 1, 1), np.array([6, 7]))
    with caplog.at_level("WARNING"):
        journal.flush()
    assert lines.lines == [(2, {"loss": 2.0, "skipped": 1.0, "skipped_in_a_row": 1.0})]
    assert "records [6, 7]" in caplog.text


def test_too_many_refused_steps_in_a_row_end_the_run():
    journal = DelayedMetrics(Lines(), interval=10, stop_after_skipped=2)
    journal.add(7, metrics(float("inf"), 1, 1), np.array([1]))
    journal.add(8, metrics(float("inf"), 2, 2), np.array([2]))
    with pytest.raises(TrainingDiverged, match=r"2 updates in a row.*step 8 \(records \[2\]\)"):
        journal.flush()
