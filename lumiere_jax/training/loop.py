"""The training loop.

The order evaluate → save → next batch → step → log makes resuming exact: a checkpoint at step n
is taken when n batches have been read and n steps dispatched.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from lumiere_jax.only_writer import NAME as LOCK
from lumiere_jax.only_writer import only_writer
from lumiere_jax.parallel.mesh import make_mesh
from lumiere_jax.parallel.processes import global_batch
from lumiere_jax.training.checkpoint import Checkpoints
from lumiere_jax.training.config import (
    Experiment,
    check_same_run,
    read_experiment,
    write_experiment,
)
from lumiere_jax.training.data import open_batches
from lumiere_jax.training.evaluate import Evaluation
from lumiere_jax.training.initialize import begin
from lumiere_jax.training.metric_writer import DelayedMetrics, MetricWriter, say
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.optimizer import make_optimizer
from lumiere_jax.training.preemption import Preemption
from lumiere_jax.training.step import compile_step
from lumiere_jax.video.new_file import refuse_full


def train(experiment: Experiment, run: epath.PathLike) -> str | None:
    """Train one stage in `<run>/<stage>`, or resume it.

    Args:
      experiment: settings of the stage.
      run: folder of the run.

    Returns:
      Name of the signal that ended it early, after a checkpoint; None when it is finished.

    Raises:
      ValueError: settings that do not fit each other, the data, or the work directory.
      TrainingDiverged: too many updates in a row were not finite.
    """
    train, folder = experiment.train, epath.Path(run) / experiment.stage
    mesh = make_mesh(experiment.mesh)
    objective = make_objective(experiment)
    optimizer = make_optimizer(experiment.optimizer, train.steps)
    with (
        open_folder(folder, experiment),
        Preemption() as preemption,
        Checkpoints(folder, train.keep) as checkpoints,
        open_batches(experiment, mesh, folder) as batches,
    ):
        state, data, frozen = begin(objective, optimizer, checkpoints, mesh, run)
        if data is not None:
            batches.set_state(data)
        first = int(state.step)
        say(f"{folder}: step {first} of {train.steps}")
        if first >= train.steps:
            say(f"{folder}: {first} steps done")
            return None
        evaluation = Evaluation(objective, mesh)
        with stacks_when_stalled(train.stall_seconds):
            batch, _ = place(batches.peek(), mesh)
        step_function = compile_step(objective, state, batch, mesh)
        with MetricWriter(
            folder,
            start=first,
            steps=train.steps,
            clips=experiment.data.batch_size,
            flops=step_function.flops,
        ) as writer:
            metrics_of_steps = DelayedMetrics(
                writer, interval=train.log_every, stop_after_skipped=train.stop_after_skipped
            )
            for step in range(first, train.steps + 1):
                ended = step == train.steps
                signal = preemption.at(step)
                if not signal and due(step, train.evaluate_every, first, ended):
                    metrics_of_steps.flush()
                    evaluation.run(step, state, writer)
                    metrics_of_steps.restart_clock()
                if due(step, train.save_every, first, ended) or signal:
                    checkpoints.save(
                        step, state, data=batches.get_state(), experiment=experiment, frozen=frozen
                    )
                if ended or signal:
                    metrics_of_steps.flush()
                    break
                with stacks_when_stalled(train.stall_seconds):
                    batch, records = place(next(batches), mesh)
                with jax.transfer_guard("disallow"):
                    state, metrics = step_function.run(state, batch)
                metrics_of_steps.add(step + 1, metrics, records)
                writer.advance()
    say(f"{folder}: " + (f"{signal}, saved at step {step}" if signal else f"{step} steps done"))
    return signal


def place(
    batch: dict[str, np.ndarray], mesh: Mesh
) -> tuple[dict[str, jax.Array], np.ndarray | None]:
    """Return a batch on the devices, and its record numbers on the host.

    Args:
      batch: this process's rows.
      mesh: devices that the rows are divided over.
    """
    arrays = {name: rows for name, rows in batch.items() if name != "record"}
    return global_batch(arrays, mesh), batch.get("record")


def due(step: int, interval: int, first: int, ended: bool) -> bool:
    """Return True if something that is done every `interval` steps, and at the end, is due.

    Args:
      step: steps done.
      interval: steps between two times; 0 for never.
      first: step that the run started from, at which nothing is due.
      ended: True after the last step.
    """
    return bool(interval) and step > first and (ended or step % interval == 0)


@contextlib.contextmanager
def open_folder(folder: epath.Path, experiment: Experiment) -> Iterator[None]:
    """Make the work directory, or check that it belongs to this experiment; lock it for others.

    Args:
      folder: work directory of the stage.
      experiment: settings of the run.

    Raises:
      BlockingIOError: another run of this stage is going on.
      ValueError: it was started with other settings, or holds something else.
    """
    first = jax.process_index() == 0
    with only_writer(folder, f"--workdir={folder.parent}") if first else contextlib.nullcontext():
        _claim(folder, experiment)
        yield


def _claim(folder: epath.Path, experiment: Experiment) -> None:
    """Write the settings into the work directory, unless earlier steps depended on others."""
    path, saved = folder / "config.json", folder / "checkpoints"
    # Settings of a run that never came to a checkpoint may be corrected.
    if path.exists() and saved.exists() and any(saved.iterdir()):
        check_same_run(read_experiment(path), experiment, folder)
    elif not path.exists():
        refuse_full(folder, "--workdir", besides=(LOCK,), expected="training run")
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        write_experiment(path, experiment)


@contextlib.contextmanager
def stacks_when_stalled(seconds: float) -> Iterator[None]:
    """Print the stacks of all threads if the block takes longer than `seconds`."""
    faulthandler.dump_traceback_later(seconds, repeat=True, file=_stderr())
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _stderr() -> Any:
    # A captured stderr has no file descriptor for the handler to write to.
    return sys.__stderr__
