"""The devices that a program is planned for: a TPU topology, or devices of this machine."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re

from jax.sharding import AbstractMesh, AxisType

from lumiere_jax.parallel.mesh import AXES, MeshConfig, check_slices
from lumiere_jax.planner.chips import CHIPS, Chip
from lumiere_jax.structure import check_range, check_whole

NAME = re.compile(r"(\w+):(\d+(?:x\d+){1,2})(?:x(\d+)s)?")
DEVICES = (1, 1 << 16)  # the largest pod has 9,216 chips
MEMORY = (1e-6, 1e4)  # GiB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Devices to plan for.

    Attributes:
      name: topology such as "v5p:4x4x8"; None for devices of this machine.
      count: number of devices, over all slices.
      slices: number of slices, groups of devices with fast links inside.
      chip: figures of a device; None where none are known.
      memory_gib: memory of a device that a program can use, in GiB; None where it is not known.
    """

    name: str | None
    count: int
    slices: int = 1
    chip: Chip | None = None
    memory_gib: float | None = None

    def shape(self, config: MeshConfig) -> tuple[int, int, int]:
        """Return the sizes of the mesh's axes on these devices.

        Args:
          config: number of devices along each axis.

        Raises:
          ValueError: the sizes do not multiply to the number of devices, or the replicas are not a
            multiple of the slices.
        """
        shape = config.shape(self.count)
        check_slices(shape, self.slices)
        return shape

    def abstract_mesh(self, config: MeshConfig) -> AbstractMesh:
        """Return the mesh without its devices, with which programs are traced; see `shape`.

        Args:
          config: number of devices along each axis.
        """
        return AbstractMesh(self.shape(config), AXES, axis_types=(AxisType.Auto,) * len(AXES))

    def __str__(self) -> str:
        if self.name is None:
            return f"{self.count} devices of this machine"
        return self.name + (f", {self.slices} slices" if self.slices > 1 else "")


def read_topology(text: str, slices: int = 1, memory_gib: float | None = None) -> Target:
    """Return the TPU slices that a topology names.

    Args:
      text: generation and shape, such as "v5p:4x4x8", or "v5p:4x4x8x2s" for two slices.
      slices: number of slices, if the text names none.
      memory_gib: memory of a device in GiB, instead of the generation's.

    Raises:
      ValueError: an unknown generation or shape; the message lists the known ones.
    """
    match = NAME.fullmatch(text)
    generation = match[1] if match else text.partition(":")[0]
    if generation not in CHIPS:
        near = difflib.get_close_matches(generation, CHIPS, n=1, cutoff=0.0)[0]
        known = ", ".join(f"{chip.name}:{chip.examples[1]}" for chip in CHIPS.values())
        raise ValueError(
            f"--topology={text!s:.80} is not known; give a generation and a shape, one of {known} "
            f"and other shapes; try --topology={near}:{CHIPS[near].examples[1]}"
        )
    chip = CHIPS[generation]
    shape = tuple(int(size) for size in match[2].split("x")) if match else ()
    if not chip.has(shape):
        more = " and multiples of 4 that do not fall" if len(chip.largest) == 3 else ""
        raise ValueError(
            f"--topology={text!s:.80}: slices of {generation} have the shapes "
            f"{', '.join(chip.examples)}{more}; try --topology={generation}:{chip.examples[1]}"
        )
    slices = int(match[3]) if match[3] else slices
    check_whole("--slices", slices, 1, 256)
    return Target(
        name=f"{generation}:{match[2]}",
        count=math.prod(shape) * chip.devices * slices,
        slices=slices,
        chip=chip,
        memory_gib=_memory(memory_gib) or chip.memory_gib,
    )


def local_target(devices: int, memory_gib: float | None = None) -> Target:
    """Return a number of devices of this machine.

    Args:
      devices: number of devices; a CPU is divided into as many.
      memory_gib: memory of a device in GiB; unknown when None.

    Raises:
      ValueError: a number out of range.
    """
    check_whole("--devices", devices, *DEVICES)
    return Target(name=None, count=devices, memory_gib=_memory(memory_gib))


def _memory(gib: float | None) -> float | None:
    if gib is not None:
        check_range("--memory_gib", gib, *MEMORY)
    return gib


def read_mesh(text: str, slices: int = 1) -> MeshConfig:
    """Return the mesh of the flag --mesh; on several slices replicas cross them by default.

    Args:
      text: sizes of axes, see `MeshConfig.parse`.
      slices: number of slices of the target.

    Raises:
      ValueError: something else than axes and whole numbers.
    """
    config = MeshConfig.parse(text)
    return config if "replica" in text else dataclasses.replace(config, replica=slices)
