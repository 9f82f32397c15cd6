"""A case: one program of an experiment on given devices. It is counted, and may be compiled."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import jax

from lumiere_jax.parallel.mesh import AXES, BATCH_AXES, MeshConfig, make_mesh
from lumiere_jax.planner.cache import Cache
from lumiere_jax.planner.compiling import Compiled, compile_program
from lumiere_jax.planner.counts import Counts, count
from lumiere_jax.planner.libtpu import check_libtpu, describe_devices
from lumiere_jax.planner.programs import (
    Program,
    for_target,
    sampling_program,
    training_program,
)
from lumiere_jax.planner.progress import progress
from lumiere_jax.planner.targets import Target
from lumiere_jax.structure import to_dict
from lumiere_jax.training.config import Experiment

What = Literal["train", "sample"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A program of an experiment on devices.

    Attributes:
      experiment: settings; its mesh, its rematerialisation and its `data.batch_size`, which in
        sampling is the number of clips.
      target: devices.
      what: "train" for the training step, "sample" for the whole sampling of clips.
    """

    experiment: Experiment
    target: Target
    what: What = "train"

    @property
    def mesh(self) -> dict[str, int]:
        """Return the number of devices along each axis; see `Target.shape`."""
        return dict(zip(AXES, self.target.shape(self.experiment.mesh)))

    @property
    def rows(self) -> int:
        """Return the number of devices that divide the batch."""
        return math.prod(self.mesh[axis] for axis in BATCH_AXES)

    @property
    def tpu(self) -> bool:
        """Return True for the slices of a topology."""
        return self.target.name is not None

    def replaced(
        self,
        *,
        batch_size: int | None = None,
        remat: bool | None = None,
        mesh: MeshConfig | None = None,
    ) -> Case:
        """Return the case with other settings; those that are None stay.

        Args:
          batch_size: clips over all devices.
          remat: True to recompute activations.
          mesh: number of devices along each axis.
        """
        old = self.experiment
        data, train = old.data, old.train
        if batch_size is not None:
            data = dataclasses.replace(data, batch_size=batch_size)
        if remat is not None:
            train = dataclasses.replace(train, remat=remat)
        experiment = dataclasses.replace(old, data=data, train=train, mesh=mesh or old.mesh)
        return dataclasses.replace(self, experiment=experiment)

    def program(self, mesh: Any) -> Program:
        """Trace the program.

        Args:
          mesh: mesh of devices, or one without them.

        Raises:
          ValueError: the mesh divides neither the batch nor the parameters, or not the frames.
        """
        experiment = for_target(self.experiment, accelerator=self.tpu)
        if self.what == "train":
            return training_program(experiment, mesh)
        return sampling_program(experiment, mesh, experiment.data.batch_size)

    def count(self, cache: Cache) -> Counts:
        """Return the counts of the program, traced without devices.

        Args:
          cache: counts of earlier cases.

        Raises:
          ValueError: see `program`.
        """
        question = self._question("counts")
        stored = cache.read(question)
        if stored is not None:
            return Counts.from_json(stored)
        with progress(f"tracing {self}"):
            counts = count(
                self.program(self.target.abstract_mesh(self.experiment.mesh)), tpu=self.tpu
            )
        cache.write(question, counts.to_json())
        return counts

    def model_flops(self, cache: Cache) -> int:
        """Return the operations of all devices without recomputed ones, as training reports them.

        Args:
          cache: counts of earlier cases.
        """
        return self.replaced(remat=False).count(cache).flops

    def check_compiler(self) -> None:
        """Raise an error unless the target's compiler is here.

        Raises:
          MissingExtra: the target is a topology, and libtpu is not installed.
          ValueError: the target has more devices than this machine.
        """
        if self.tpu:
            check_libtpu()
        elif self.target.count > len(jax.devices()):
            raise ValueError(
                f"--devices={self.target.count}: this machine has {len(jax.devices())}; "
                f"use --devices={len(jax.devices())}, or a --topology"
            )

    def compile(self, cache: Cache) -> Compiled:
        """Return what the compiled program needs.

        Args:
          cache: results of earlier compilations.

        Raises:
          MissingExtra, ValueError: see `check_compiler` and `program`.
        """
        question = self._question("compiled")
        stored = cache.read(question)
        if stored is not None:
            return Compiled(**stored)
        self.check_compiler()
        devices = describe_devices(self.target) if self.tpu else jax.devices()[: self.target.count]
        mesh = make_mesh(self.experiment.mesh, devices)
        with progress(f"tracing {self} for the compiler"):
            program = self.program(mesh)
        compiled = compile_program(program.traced, sum(program.stored.values()), tpu=self.tpu)
        cache.write(question, compiled._asdict())
        return compiled

    def _question(self, kind: str) -> dict[str, Any]:
        """Return everything that an answer depends on, for `Cache`."""
        return {
            "kind": kind,
            "what": self.what,
            "target": [self.target.name, self.target.count, self.target.slices],
            "mesh": self.mesh,
            "backend": "tpu" if self.tpu else jax.default_backend(),
            "experiment": to_dict(self.experiment),
        }

    def __str__(self) -> str:
        work = "a training step" if self.what == "train" else "sampling"
        shape = " × ".join(f"{axis} {size}" for axis, size in self.mesh.items())
        remat = ", rematerialised" if self.what == "train" and self.experiment.train.remat else ""
        return f"{work} of {self.experiment.data.batch_size} clips on {shape}{remat}"
