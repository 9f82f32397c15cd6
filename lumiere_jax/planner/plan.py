"""A plan: what a case needs, and whether it fits its devices."""

from __future__ import annotations

import dataclasses
from typing import Any

from lumiere_jax.parallel.count import to_json
from lumiere_jax.planner.bounds import time_bounds
from lumiere_jax.planner.cache import Cache
from lumiere_jax.planner.case import Case
from lumiere_jax.planner.compiling import GIB, Compiled
from lumiere_jax.planner.counts import Counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A case, counted, and perhaps compiled.

    Attributes:
      case: program and devices.
      counts: counts of the program.
      flops: operations of all devices without recomputed ones; None if they were not counted.
      compiled: result of the compiler; None if it was not asked.
    """

    case: Case
    counts: Counts
    flops: int | None = None
    compiled: Compiled | None = None

    @property
    def available(self) -> float | None:
        """Return the memory of a device in GiB; None where it is not known."""
        return self.case.target.memory_gib

    @property
    def stored(self) -> float:
        """Return the memory of the arguments of one device, in GiB."""
        return sum(self.counts.stored.values()) / GIB

    @property
    def estimate(self) -> float:
        """Return the estimated memory of one device without compiling, in GiB."""
        return self.stored + self.counts.temporaries / GIB

    @property
    def memory(self) -> float | None:
        """Return the memory of one device that the compiler found, in GiB; None without it."""
        return None if self.compiled is None else self.compiled.total / GIB

    @property
    def fits(self) -> bool | None:
        """Return whether one device's memory is enough; None if that is not known."""
        if self.compiled is not None and not self.compiled.fitted:
            return False
        if self.available is None:
            return None
        if self.compiled is None:
            return False if self.stored > self.available else None
        return self.memory <= self.available

    @property
    def missing(self) -> float:
        """Return the memory in GiB that a device lacks, at least; 0 if the program fits."""
        if self.fits is not False or self.available is None:
            return 0.0
        return max(0.0, (self.stored if self.compiled is None else self.memory) - self.available)

    @property
    def memory_parts(self) -> dict[str, float]:
        """Return the memory of one device by its use, in GiB."""
        parts = {name: size / GIB for name, size in self.counts.stored.items()}
        if self.compiled is not None:
            rest = self.memory - self.stored - self.compiled.program / GIB
            parts |= {
                "activations and temporaries": rest,
                "the program itself": self.compiled.program / GIB,
            }
        return parts

    @property
    def bounds(self) -> dict[str, float] | None:
        """Return lower bounds of the time of one run, in seconds; None without published rates."""
        target = self.case.target
        if target.chip is None:
            return None
        return time_bounds(self.counts, target.chip, self.case.mesh, target.slices)

    @property
    def collectives(self) -> dict[str, dict[str, Any]]:
        """Return the collectives of one device by kind; see `parallel.count.to_json`."""
        return to_json(self.counts.collectives)


def make_plan(case: Case, cache: Cache, *, compile: bool = True) -> Plan:
    """Count a case, and compile it unless it cannot fit.

    Args:
      case: program and devices.
      cache: results of earlier plans.
      compile: False for the counts alone.

    Raises:
      ValueError: settings that do not fit each other or the devices.
      MissingExtra: the target is a topology, and libtpu is not installed.
    """
    if compile:
        case.check_compiler()
    counts = case.count(cache)
    recomputes = case.what == "train" and case.experiment.train.remat
    if not compile:
        return Plan(case=case, counts=counts, flops=None if recomputes else counts.flops)
    plan = Plan(
        case=case, counts=counts, flops=case.model_flops(cache) if recomputes else counts.flops
    )
    if plan.fits is False:  # the arguments alone are too large
        return plan
    return dataclasses.replace(plan, compiled=case.compile(cache))
