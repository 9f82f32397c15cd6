"""Lower bounds of a program's time, from its counts and a chip's published peak rates.

Each is the time of one resource at its peak, as if the others cost nothing. A run takes longer than
the longest of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from lumiere_jax.parallel.count import Collective
from lumiere_jax.planner.chips import Chip
from lumiere_jax.planner.counts import Counts


def time_bounds(
    counts: Counts, chip: Chip, mesh: Mapping[str, int], slices: int = 1
) -> dict[str, float]:
    """Return lower bounds of the seconds of one run of a program.

    Args:
      counts: counts of the program.
      chip: figures of a device.
      mesh: number of devices along each axis.
      slices: number of slices, which `replica` crosses.

    Returns:
      Seconds of "compute", "memory", "interconnect" (inside a slice), and "network" (between
      slices; 0 for one).
    """
    devices = math.prod(mesh.values())
    return {
        "compute": counts.flops / devices / chip.flops,
        # Arguments are read once besides.
        "memory": (counts.traffic + sum(counts.stored.values())) / chip.memory_rate,
        "interconnect": sum(sent_inside(record, mesh, slices) for record in counts.collectives)
        / chip.link_rate,
        "network": sum(sent_between(record, mesh, slices) for record in counts.collectives)
        / chip.network_rate,
    }


def sent_inside(record: Collective, mesh: Mapping[str, int], slices: int = 1) -> float:
    """Return the bytes that a device sends to others of its slice, in a ring.

    Args:
      record: executions of one kind of collective.
      mesh: number of devices along each axis.
      slices: number of slices, which `replica` crosses.
    """
    return _ring(record.kind, _parts_inside(record, mesh, slices)) * record.bytes


def sent_between(record: Collective, mesh: Mapping[str, int], slices: int = 1) -> float:
    """Return the bytes that a device sends to other slices at least.

    The devices of a slice divide what goes out: each sends its part of the slice's sum.

    Args:
      record: executions of one kind of collective.
      mesh: number of devices along each axis.
      slices: number of slices, which `replica` crosses.
    """
    if slices == 1 or "replica" not in record.axes:
        return 0.0
    parts = 1 if record.kind == "collective_permute" else _parts_inside(record, mesh, slices)
    return _ring(record.kind, slices) * record.bytes / parts


def _parts_inside(record: Collective, mesh: Mapping[str, int], slices: int) -> int:
    sizes = dict(mesh) | {"replica": mesh["replica"] // slices}
    return math.prod(sizes[axis] for axis in record.axes)


def _ring(kind: str, devices: int) -> float:
    """Return the bytes that a ring sends from each device, for each byte of `Collective.bytes`."""
    if kind == "collective_permute":
        return 1.0
    once = (devices - 1) / devices
    return 2 * once if kind == "all_reduce" else once
