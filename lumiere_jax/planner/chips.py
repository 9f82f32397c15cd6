"""Published figures of TPU generations: memory, peak rates, and the shapes of their slices.

Rates are those of cloud.google.com/tpu/docs, read in November 2026: the pages v4, v5e, v5p, v6e and
tpu7x ("key specifications"). They are peaks: no program reaches them, so times computed from them
are lower bounds. A rate is that of one device of JAX, which on tpu7x is half a chip.
"""

from __future__ import annotations

import dataclasses
from typing import Any

FLAT_SHAPES = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")  # pages v5e and v6e
SMALL_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")  # pages v4, v5p, tpu7x; beside multiples of 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One device of a TPU generation.

    Attributes:
      name: generation, as in "v5p:4x4x8".
      memory_gib: memory that a program can use, in GiB.
      flops: peak bfloat16 operations a second.
      memory_rate: peak bytes a second to and from memory.
      link_rate: peak bytes a second that it sends to the others of its slice, over all links.
      network_rate: peak bytes a second that it sends to other slices.
      devices: devices of a chip.
      largest: largest slice, in chips along each dimension.
      options: further arguments of `jax.experimental.topologies.get_topology_desc`.
    """

    name: str
    memory_gib: float
    flops: float
    memory_rate: float
    link_rate: float
    network_rate: float
    devices: int = 1
    largest: tuple[int, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def examples(self) -> tuple[str, ...]:
        """Return shapes of slices; cubes of any multiples of 4 exist as well."""
        if len(self.largest) == 2:
            return FLAT_SHAPES
        return (*SMALL_CUBES, "4x4x4", "4x4x8", "x".join(map(str, self.largest)))

    def has(self, shape: tuple[int, ...]) -> bool:
        """Return True if there are slices of this shape.

        Args:
          shape: chips along each dimension.
        """
        if "x".join(map(str, shape)) in self.examples:
            return True
        cube = len(self.largest) == 3 and len(shape) == 3 and all(n % 4 == 0 < n for n in shape)
        within = all(n <= most for n, most in zip(shape, self.largest))
        return cube and within and list(shape) == sorted(shape)


# Memory: the published 32, 16, 95, 32 and 192 GiB a chip, or what the compiler of libtpu 0.0.52
# lets a program use of them where that is less (its message for one that does not fit: 30.75,
# 15.75, 95.73, 31.24, and 94.74 GiB a device of tpu7x).
# Interconnect: the pages give both directions together (v5e 400 GB/s); a device sends half. Of v4
# the pages have no figure: 2,400 Gbit/s is in the paper (arXiv 2304.01433, table 4: six links of
# 50 GB/s). Network between slices: the pages' Gbit/s a chip; v5e's 6.4 Tbit/s a pod of 256 chips;
# v4's is not published, and v5p's is taken.
CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            name="v4",
            memory_gib=30.75,
            flops=275e12,
            memory_rate=1200e9,
            link_rate=300e9,
            network_rate=50e9 / 8,
            largest=(16, 16, 16),
            # On Cloud TPU a v4 chip is one device; libtpu describes two unless told.
            options={"chip_config_name": "megacore", "chips_per_host_bounds": (2, 2, 1)},
        ),
        Chip(
            name="v5e",
            memory_gib=15.75,
            flops=197e12,
            memory_rate=819e9,
            link_rate=200e9,
            network_rate=25e9 / 8,
            largest=(16, 16),
        ),
        Chip(
            name="v5p",
            memory_gib=95.0,
            flops=459e12,
            memory_rate=2765e9,
            link_rate=600e9,
            network_rate=50e9 / 8,
            largest=(16, 16, 24),
        ),
        Chip(
            name="v6e",
            memory_gib=31.24,
            flops=918e12,
            memory_rate=1638e9,
            link_rate=400e9,
            network_rate=100e9 / 8,
            largest=(16, 16),
        ),
        Chip(
            name="tpu7x",
            memory_gib=94.74,
            flops=2307e12 / 2,
            memory_rate=7380e9 / 2,
            link_rate=600e9 / 2,
            network_rate=100e9 / 8 / 2,
            devices=2,
            largest=(16, 24, 24),
        ),
    )
}
