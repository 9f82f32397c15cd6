"""Everything that is counted of a program without compiling it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from lumiere_jax.parallel.count import Collective, count_collectives
from lumiere_jax.planner.live_memory import estimate_temporaries
from lumiere_jax.planner.memory_traffic import count_traffic
from lumiere_jax.planner.programs import Program
from lumiere_jax.training.flops import jaxpr_flops


class Counts(NamedTuple):
    """Counts of one run of a program.

    Attributes:
      collectives: collectives of one device.
      flops: operations of all devices, recomputed ones among them.
      traffic: bytes that one device moves to and from its memory at least, for its products.
      temporaries: estimated bytes of one device's temporaries.
      stored: bytes of each kind of argument on one device.
    """

    collectives: tuple[Collective, ...]
    flops: int
    traffic: int
    temporaries: int
    stored: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the counts as nested dictionaries."""
        return self._asdict() | {"collectives": [dataclasses.asdict(c) for c in self.collectives]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Counts:
        """Return the counts of `to_json`, also after a round trip through JSON.

        Args:
          values: nested dictionaries.
        """
        collectives = tuple(
            Collective(**{**record, "axes": tuple(record["axes"])})
            for record in values["collectives"]
        )
        return cls(**{**values, "collectives": collectives})


def count(program: Program, *, tpu: bool) -> Counts:
    """Count a traced program.

    Args:
      program: program to count.
      tpu: True for memory in the tiles of a TPU.
    """
    jaxpr = program.traced.jaxpr
    return Counts(
        collectives=tuple(count_collectives(jaxpr)),
        flops=jaxpr_flops(jaxpr.jaxpr),
        traffic=count_traffic(jaxpr.jaxpr),
        temporaries=estimate_temporaries(jaxpr.jaxpr, tiled=tpu),
        stored=program.stored,
    )
