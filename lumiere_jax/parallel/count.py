"""Collectives of a training step, counted from its jaxpr without compiling it.

Only collectives that a program calls are in its jaxpr. Those that XLA adds for sharded arrays
outside a manual `jax.shard_map` are not; `compiled_collectives` counts these, too.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jax.extend import core
from jax.interpreters import partial_eval

KINDS = ("all_gather", "reduce_scatter", "all_reduce", "collective_permute", "all_to_all")
PRIMITIVES = {
    "all_gather": "all_gather",
    "all_gather_invariant": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "psum": "all_reduce",
    "psum_invariant": "all_reduce",
    "pmax": "all_reduce",
    "pmin": "all_reduce",
    "ppermute": "collective_permute",
    "all_to_all": "all_to_all",
}
# They name mesh axes and communicate nothing.
LOCAL = frozenset({"axis_index", "pvary"})
INSTRUCTION = re.compile(
    r"\s(all-gather|reduce-scatter|all-reduce|collective-permute|all-to-all)(?:-start)?\("
)


@dataclasses.dataclass(frozen=True)
class Collective:
    """Executions of one kind of collective over the same mesh axes, in one run of a program.

    A ring of n devices sends (n - 1) / n of `bytes` from each device for an all_gather, a
    reduce_scatter or an all_to_all, twice that for an all_reduce, and all of it for a
    collective_permute.

    Attributes:
      kind: one of `KINDS`.
      axes: mesh axes with more than one device, in the order of the mesh.
      count: number of executions.
      bytes: bytes of all executions on one device: the gathered result of an all_gather, the
        operand of every other kind.
      at_least: true if some are in a loop of unknown length, whose body counts once.
    """

    kind: str
    axes: tuple[str, ...]
    count: int
    bytes: int
    at_least: bool = False


def count_collectives(jaxpr: core.Jaxpr | core.ClosedJaxpr) -> list[Collective]:
    """Count the collectives that one device executes in one run of a program.

    The body of a scan counts once per iteration, of a conditional the branch that moves the most
    bytes. Collectives whose results are unused and those over a single device do not count.

    Args:
      jaxpr: jaxpr of the program, such as `jax.jit(step).trace(*arguments).jaxpr`.

    Returns:
      One record for each kind and tuple of axes, in the order of `KINDS`.

    Raises:
      ValueError: an operation names mesh axes and is not known here, an axis is not one of a
        surrounding `jax.shard_map`, or an operation other than a conditional or a loop has
        collectives in several functions.
    """
    records = _walk(jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr, {})
    return sorted(records, key=lambda record: (KINDS.index(record.kind), record.axes))


def to_json(records: Iterable[Collective]) -> dict[str, dict[str, Any]]:
    """Return records as nested dictionaries of count and bytes; all five kinds are in it.

    Args:
      records: records of `count_collectives`.

    Returns:
      {kind: {"count": …, "bytes": …, "by_axes": {"fsdp,context": {"count": …, "bytes": …}}}}, with
      "at_least": True in a kind and its axes if the count is a lower bound.
    """
    result: dict[str, dict[str, Any]] = {
        kind: {"count": 0, "bytes": 0, "by_axes": {}} for kind in KINDS
    }
    for record in records:
        kind = result[record.kind]
        axes = kind["by_axes"].setdefault(",".join(record.axes), {"count": 0, "bytes": 0})
        for entry in (kind, axes):
            entry["count"] += record.count
            entry["bytes"] += record.bytes
            if record.at_least:
                entry["at_least"] = True
    return result


def compiled_collectives(text: str) -> dict[str, int]:
    """Count the collectives in the text of a compiled program.

    The two instructions of an asynchronous collective count once, and so does the body of a loop.
    XLA may merge collectives, so that a program can have fewer than its jaxpr.

    Args:
      text: HLO of the program: `compiled.as_text()`.

    Returns:
      Number of instructions of each of `KINDS`.
    """
    found = collections.Counter(name.replace("-", "_") for name in INSTRUCTION.findall(text))
    return {kind: found[kind] for kind in KINDS}


def _walk(jaxpr: core.Jaxpr, sizes: Mapping[str, int]) -> list[Collective]:
    """Return the merged records of a jaxpr.

    Args:
      jaxpr: jaxpr to walk, with all jaxprs inside its equations.
      sizes: number of devices along each axis of the surrounding mesh.
    """
    # Tracing leaves equations with unused results, which compilation removes: they do not run.
    # Again at each level, since `dce_jaxpr` leaves the body of a while loop as it is.
    live, _ = partial_eval.dce_jaxpr(jaxpr, True)
    return _merge(record for equation in live.eqns for record in _records(equation, sizes))


def _merge(records: Iterable[Collective]) -> list[Collective]:
    groups: dict[tuple[str, tuple[str, ...]], list[Collective]] = {}
    for record in records:
        groups.setdefault((record.kind, record.axes), []).append(record)
    return [
        Collective(
            kind,
            axes,
            sum(record.count for record in group),
            sum(record.bytes for record in group),
            any(record.at_least for record in group),
        )
        for (kind, axes), group in groups.items()
    ]


def _records(equation: core.JaxprEqn, sizes: Mapping[str, int]) -> list[Collective]:
    name, params = equation.primitive.name, equation.params
    names = _axis_names(params)
    if names and name not in LOCAL:
        return _collective(equation, names, sizes)
    if name == "shard_map":
        sizes = {**sizes, **params["mesh"].shape}
    inner = [_walk(jaxpr, sizes) for jaxpr in _inner_jaxprs(params)]
    if name == "cond":
        return max(inner, key=lambda branch: sum(record.bytes for record in branch))
    records = [record for body in inner for record in body]
    if name == "scan":
        return [_repeat(record, params["length"]) for record in records if params["length"]]
    if name == "while":
        return [dataclasses.replace(record, at_least=True) for record in records]
    if sum(map(bool, inner)) > 1:
        raise ValueError(
            f"{name}: several of its functions have collectives; add a rule to {__name__}"
        )
    return records


def _repeat(record: Collective, times: int) -> Collective:
    return dataclasses.replace(record, count=times * record.count, bytes=times * record.bytes)


def _collective(
    equation: core.JaxprEqn, names: set[str], sizes: Mapping[str, int]
) -> list[Collective]:
    """Return the record of one collective; none if it is over a single device."""
    name = equation.primitive.name
    if name not in PRIMITIVES:
        raise ValueError(
            f"{name} over {', '.join(sorted(names))} is not known; add it to {__name__}"
        )
    if missing := sorted(names - sizes.keys()):
        raise ValueError(
            f"{name}: {', '.join(missing)} is not an axis of a surrounding jax.shard_map"
        )
    axes = tuple(axis for axis, size in sizes.items() if axis in names and size > 1)
    if not axes:
        return []
    kind = PRIMITIVES[name]
    moved = equation.outvars if kind == "all_gather" else equation.invars
    return [Collective(kind, axes, 1, sum(_bytes(variable) for variable in moved))]


def _axis_names(params: Mapping[str, Any]) -> set[str]:
    """Return the mesh axes that an equation names; the axes of arrays are numbers."""
    names: set[str] = set()
    for key in ("axis_name", "axes"):
        value = params.get(key)
        items = value if isinstance(value, tuple | list) else (value,)
        names |= {item for item in items if isinstance(item, str)}
    return names


def _inner_jaxprs(params: Mapping[str, Any]) -> Iterator[core.Jaxpr]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def _bytes(variable: Any) -> int:
    return math.prod(variable.aval.shape) * variable.aval.dtype.itemsize
