"""Workers keep the order, and a crash loses one task."""

import functools
import os
import pathlib

from lumiere_jax.preparation.workers import in_order


def mark(task, folder):
    path = pathlib.Path(folder) / str(task)
    if task == 3:
        os._exit(9)  # like a decoder that crashes, or runs out of memory
    path.touch()


def test_a_task_that_kills_its_process_is_reported_and_the_others_are_done(tmp_path):
    results = list(in_order(functools.partial(mark, folder=str(tmp_path)), range(6), 2))
    assert results == [(task, task != 3) for task in range(6)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "4", "5"]
