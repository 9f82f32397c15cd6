"""TPU slices as machines: chips a host, and the names that Google Cloud has for them.

Chips a host: cloud.google.com/tpu/docs, pages v4, v5e, v5p, v6e and tpu7x. Software versions:
docs.cloud.google.com/tpu/docs/runtimes. Node labels:
docs.cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus. Read in November 2026.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from lumiere_jax.planner.targets import read_topology

RUNTIMES = {
    "v4": "tpu-ubuntu2204-base",
    "v5e": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
LABELS = {
    "v4": "tpu-v4-podslice",
    "v5e": "tpu-v5-lite-podslice",
    "v5p": "tpu-v5p-slice",
    "v6e": "tpu-v6e-slice",
    "tpu7x": "tpu7x",
}
FLAT = {"v5e": "v5litepod", "v6e": "v6e"}  # prefix of the accelerator type; its number is chips


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slices:
    """Equal TPU slices.

    Attributes:
      generation: generation, such as "v5p".
      shape: chips along each dimension, such as "4x4x8".
      count: number of slices.
      chips: chips of a slice.
      devices: devices of JAX over all slices.
    """

    generation: str
    shape: str
    count: int
    chips: int
    devices: int

    @property
    def chips_per_host(self) -> int:
        """Return the chips of a machine: 4, but a flat slice of up to 8 chips is one machine."""
        if self.generation in FLAT and self.chips <= 8:
            return self.chips
        return 4

    @property
    def hosts(self) -> int:
        """Return the machines of a slice."""
        return self.chips // self.chips_per_host

    @property
    def accelerator_type(self) -> str:
        """Return the name of a slice in Cloud TPU: in cores, two a chip, for v4 and v5p."""
        if self.generation in FLAT:
            return f"{FLAT[self.generation]}-{self.chips}"
        return f"{self.generation}-{2 * self.chips}"

    def check_accelerator_type(self) -> None:
        """Raise a ValueError if `accelerator_type` is another shape of as many chips.

        Cloud TPU gives the shape nearest to a cube; gcloud names other shapes for v4 alone.
        """
        sizes = [int(size) for size in self.shape.split("x")]
        cube = min(_shapes(self.chips), key=sum) if len(sizes) == 3 and self.chips > 32 else sizes
        if sum(sizes) > sum(cube):
            given = f"{self.generation}:{'x'.join(map(str, cube))}"
            raise ValueError(
                f"--topology={self.generation}:{self.shape}: for {self.chips} chips a Cloud TPU VM "
                f"has the shape of --topology={given}; others are on --platform=gke"
            )


def _shapes(chips: int) -> Iterator[list[int]]:
    """Yield the shapes of a number of chips whose sizes are multiples of 4 and do not fall."""
    for first in range(4, chips + 1, 4):
        for second in range(first, chips // first + 1, 4):
            third, rest = divmod(chips, first * second)
            if rest == 0 and third >= second and third % 4 == 0:
                yield [first, second, third]


def read_slices(topology: str, slices: int) -> Slices:
    """Return the slices of the settings.

    Args:
      topology: generation and shape, such as "v5p:4x4x8", or "v5p:4x4x8x2s" for two slices.
      slices: number of slices, if the topology names none.

    Raises:
      ValueError: an unknown generation or shape; the message lists the known ones.
    """
    target = read_topology(topology, slices)
    generation, _, shape = target.name.partition(":")
    chips = math.prod(int(size) for size in shape.split("x"))
    return Slices(
        generation=generation,
        shape=shape,
        count=target.slices,
        chips=chips,
        devices=target.count,
    )
