"""One run to launch: its command, and the folders and the mesh that the command names."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence

from launch.settings import Settings
from lumiere_jax.parallel.mesh import AXES, MeshConfig, check_slices

TRAIN = ("-m", "lumiere_jax.train")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One run to launch.

    Attributes:
      settings: settings of the launch.
      arguments: arguments after `--`, unchanged: flags of `lumiere_jax.train`, or a whole command.
      workdir: folder of the run; None for a command that names none.
      stage: stage of the configuration, such as "base"; None for a command that names none.
      mesh: devices along each axis; None for a command other than training.
    """

    settings: Settings
    arguments: tuple[str, ...]
    workdir: str | None = None
    stage: str | None = None
    mesh: MeshConfig | None = None

    @property
    def trains(self) -> bool:
        """Return True if the arguments are flags of `lumiere_jax.train`."""
        return self.arguments[0].startswith("-")

    def command(self, python: str, distributed: bool = False) -> list[str]:
        """Return the command of a process.

        Args:
          python: Python that runs `lumiere_jax.train`.
          distributed: True to join the other processes although the environment does not name them.
        """
        if not self.trains:
            return list(self.arguments)
        return [python, *TRAIN, *(["--distributed"] if distributed else []), *self.arguments]

    def shape(self, devices: int, slices: int = 1) -> str | None:
        """Return the mesh as text, such as "replica=128 fsdp=1 context=1".

        Args:
          devices: devices of all processes.
          slices: TPU slices.

        Raises:
          ValueError: the mesh does not fit the devices, or its replicas not the slices.
        """
        if self.mesh is None:
            return None
        shape = self.mesh.shape(devices)
        check_slices(shape, slices)
        return " ".join(f"{axis}={size}" for axis, size in zip(AXES, shape))

    def check_workdir(self, why: str) -> None:
        """Raise a ValueError unless the run's folder is an object store's.

        Args:
          why: reason, for the message.
        """
        if self.trains and "://" not in (self.workdir or ""):
            raise ValueError(f"--workdir={self.workdir} {why}; give --workdir=gs://my-bucket/run")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One command that the launch runs on this machine.

    Attributes:
      words: purpose of the command.
      command: program and arguments.
    """

    words: str
    command: Sequence[str]

    def __str__(self) -> str:
        return shlex.join(self.command)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
    """All that a platform does with a job.

    Attributes:
      job: run to launch.
      hosts: machines.
      processes: processes over all machines.
      devices: devices over all processes.
      slices: TPU slices.
      environment: environment variables of every process.
      files: text of each generated file, by path.
      steps: commands, in order.
      required: settings that the commands need.
      logs: place of what the processes print.
      stop: command or keys that end the run.
    """

    job: Job
    hosts: int
    processes: int
    devices: int
    slices: int = 1
    environment: Mapping[str, str]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    steps: Sequence[Step]
    required: Sequence[str] = ()
    logs: str
    stop: str


def variables(settings: Settings, **further: str) -> dict[str, str]:
    """Return the environment variables that every process gets.

    Args:
      settings: settings of the launch; a variable of theirs takes precedence.
      **further: variables of the platform; those that are empty are left out.
    """
    found = {"XLA_FLAGS": settings.xla_flags, **further}
    return {key: value for key, value in found.items() if value} | settings.environment


def exports(environment: Mapping[str, str]) -> str:
    """Return lines of shell that set environment variables.

    Args:
      environment: variables and their values.
    """
    return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in environment.items())
