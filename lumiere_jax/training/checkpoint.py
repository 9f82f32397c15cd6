"""Checkpoints: parameters, their average, optimizer, data position and settings.

    <folder>/checkpoints/<step>/{trainable,ema,training}   arrays, and JSON beside them
    <folder>/frozen/<fingerprint>                          frozen parameters, float32, stored once

Every tree is stored with a fingerprint of its bits, which loading compares. If the newest
checkpoint is damaged, a warning is logged, the damaged checkpoint is moved to `<folder>/damaged`,
and the one before it is used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from lumiere_jax.checkpoints.fingerprint import tree_fingerprint
from lumiere_jax.structure import to_dict
from lumiere_jax.training.checkpoint_metadata import (
    check_metadata,
    remove_unfinished,
    saved_steps,
    unreadable_steps,
)
from lumiere_jax.training.config import Experiment
from lumiere_jax.training.state import Params, State

FROZEN = "frozen"


class Restored(NamedTuple):
    """Contents of a checkpoint.

    Attributes:
      trees: requested trees by name.
      step: number of batches consumed.
      data: state of the data iterator, as JSON.
      frozen: fingerprint of the frozen parameters.
    """

    trees: dict[str, Any]
    step: int
    data: Any
    frozen: str


def stored_trees(state: State) -> dict[str, Any]:
    """Return the trees of a state that a checkpoint stores: all but the frozen parameters."""
    counters = {"skipped": state.skipped, "skipped_in_a_row": state.skipped_in_a_row}
    return {
        "trainable": state.trainable,
        "ema": state.ema,
        "training": {"step": state.step, "optimizer": state.optimizer, **counters},
    }


def state_from_trees(trees: dict[str, Any], frozen: Params) -> State:
    """Return the state of the trees that `stored_trees` returned, and of the frozen parameters."""
    return State(trainable=trees["trainable"], ema=trees["ema"], frozen=frozen, **trees["training"])


class Checkpoints:
    """The checkpoints of one work directory; use it in a `with` block.

    Args:
      folder: work directory of a stage.
      keep: number of newest checkpoints that are kept; None to read only, and to change no file.
    """

    def __init__(self, folder: epath.PathLike, keep: int | None = None):
        folder = epath.Path(folder).expanduser()
        # Orbax takes absolute paths only; gs:// paths are absolute as they are.
        self.folder = folder if folder.is_absolute() else folder.absolute()
        self._writes = keep is not None
        if self._writes:
            unreadable = unreadable_steps(self.folder / "checkpoints")
            if jax.process_count() > 1:  # every process has listed them before one is moved
                multihost_utils.sync_global_devices("unreadable checkpoints")
            for step, problem in unreadable.items():
                self._move_aside(step, problem)  # Orbax would not even open the folder
            local = "://" not in str(self.folder)
            if local and jax.process_index() == 0:
                remove_unfinished(self.folder / "checkpoints")
            self._orbax = ocp.training.Checkpointer(
                self.folder / "checkpoints",
                context=_context(),
                preservation_policy=ocp.training.preservation_policies.LatestN(keep),
                # Orbax does it in a thread, which prints a traceback if the program ends early.
                cleanup_tmp_directories=not local,
            )

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._writes:
            self._orbax.close()

    @property
    def steps(self) -> list[int]:
        """Return the saved steps, oldest first."""
        if self._writes:
            return [checkpoint.step for checkpoint in self._orbax.checkpoints]
        return saved_steps(self.folder / "checkpoints")

    def save(
        self, step: int, state: State, *, data: Any, experiment: Experiment, frozen: str
    ) -> None:
        """Copy the state to the host, and write it in the background.

        Args:
          step: number of batches consumed; a step that is already saved is not saved again.
          state: state at that step.
          data: state of the data iterator, as JSON.
          experiment: settings of the run.
          frozen: fingerprint that `save_frozen` returned.
        """
        if step in self.steps:
            return
        trees = stored_trees(state)
        self._orbax.save_checkpointables_async(
            step,
            trees,
            force=True,
            custom_metadata={
                "fingerprints": {name: tree_fingerprint(tree) for name, tree in trees.items()},
                "frozen": frozen,
                "data": data,
                "experiment": to_dict(experiment),
            },
        )

    def save_frozen(self, frozen: Params) -> str:
        """Store the frozen parameters unless they are stored already; return their fingerprint."""
        digest = tree_fingerprint(frozen)
        path = self.folder / FROZEN / digest
        if jax.tree.leaves(frozen) and not path.exists():
            ocp.save(path, frozen)
        return digest

    def load_frozen(self, digest: str, shapes: Params) -> Params:
        """Read the frozen parameters.

        Args:
          digest: fingerprint that `save_frozen` returned.
          shapes: the parameters as `jax.ShapeDtypeStruct`s with shardings.

        Raises:
          ValueError: the files are missing or damaged.
        """
        if not jax.tree.leaves(shapes):
            return shapes
        path = self.folder / FROZEN / digest
        try:
            check_metadata(path)
            frozen = ocp.load(path, shapes)
            damage = None if tree_fingerprint(frozen) == digest else "its bits have changed"
        except Exception as error:
            damage = _first_line(error)
        if damage:
            raise ValueError(f"the frozen parameters in {path} cannot be read: {damage}")
        return frozen

    def restore(self, shapes: dict[str, Any]) -> Restored | None:
        """Read the newest undamaged checkpoint; return None if there is no checkpoint.

        Args:
          shapes: trees to read, of `jax.ShapeDtypeStruct`s with shardings; the number of devices
            may differ from that of the run that saved them.

        Raises:
          ValueError: there are checkpoints and all of them are damaged.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.steps):
            restored, error = self._try(step, shapes)
            if restored is not None:
                for old in damaged if self._writes else ():
                    self._set_aside(old)
                return restored
            damaged[step] = error
            logging.warning("checkpoint %d in %s is damaged: %s", step, self.folder, error)
        if damaged:
            step, error = next(iter(damaged.items()))
            raise ValueError(
                f"none of the checkpoints in {self.folder} can be read (newest, step {step}: "
                f"{error}); remove the folder to start again"
            )
        return None

    def _try(self, step: int, shapes: dict[str, Any]) -> tuple[Restored | None, str]:
        """Return the checkpoint, or None and the damage; the same in all processes."""
        restored, error = None, ""
        try:
            restored = self._read(step, shapes)
        except Exception as caught:  # damage raises any of a dozen types
            error = _first_line(caught)
        if jax.process_count() > 1:
            readable = multihost_utils.process_allgather(np.array(restored is not None))
            restored = restored if readable.all() else None
        return restored, error or "another process could not read it"

    def _read(self, step: int, shapes: dict[str, Any]) -> Restored:
        path = self.folder / "checkpoints" / str(step)
        check_metadata(path)
        kept = ocp.checkpointables_metadata(path).custom_metadata
        trees = ocp.load_checkpointables(path, shapes)
        for name, tree in trees.items():
            if tree_fingerprint(tree) != kept["fingerprints"][name]:
                raise ValueError(f"the bits of {name!r} have changed")
        return Restored(trees, step, kept["data"], kept["frozen"])

    def _set_aside(self, step: int) -> None:
        """Move a checkpoint out of the way of the one that will be saved at this step again."""
        self._move_aside(step, "see above")
        self._orbax.reload()

    def _move_aside(self, step: int, problem: str) -> None:
        target = self.folder / "damaged" / str(step)
        logging.warning("moving the damaged checkpoint %d to %s (%s)", step, target, problem)
        if jax.process_index() == 0:
            target.parent.mkdir(parents=True, exist_ok=True)
            while target.exists():
                target = target.parent / f"{target.name}_"
            (self.folder / "checkpoints" / str(step)).rename(target)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("damaged checkpoint set aside")


def _context() -> ocp.Context:
    """Return Orbax's options, by which replicas share the writing of large arrays only.

    By default every bias is cut into as many slices as there are devices, which took most of the
    time of a save.
    """
    saving = ocp.options.ArrayOptions.Saving(min_slice_bytes_for_replica_parallel=2**20)
    return ocp.Context(array_options=ocp.options.ArrayOptions(saving=saving))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
