"""A plan as text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lumiere_jax.planner.advice import Asked, training_command
from lumiere_jax.planner.cache import versions
from lumiere_jax.planner.compiling import GIB
from lumiere_jax.planner.plan import Plan


def report(plan: Plan, asked: Asked, found: str | None = None) -> str:
    """Return a plan as text.

    Args:
      plan: plan to report.
      asked: configuration and settings that the user gave.
      found: result of a search, in lines; None without one.
    """
    lines = [f"{asked.config} on {plan.case.target}: {plan.case}", ""]
    lines += [*_memory(plan), "", *_collectives(plan), "", *_work(plan), ""]
    lines += [] if found is None else [found, ""]
    lines.append(_verdict(plan, searched=found is not None))
    if plan.case.what == "train":
        lines.append(f"train so: {training_command(asked, plan.case)}")
    return "\n".join(lines)


def _memory(plan: Plan) -> Iterator[str]:
    yield "memory of a device, GiB"
    for name, size in plan.memory_parts.items():
        yield _row(name, size)
    if plan.memory is not None:
        yield _row("total", plan.memory)
    else:
        yield _row("total, estimated without compiling", plan.estimate)
    if plan.available is not None:
        yield _row("available", plan.available)
        if plan.memory is not None:
            yield _row("headroom", plan.available - plan.memory)
    if plan.compiled is not None and plan.case.target.name is None:
        yield "  compiled for this machine; other devices' compilers need other memory"


def _row(name: str, value: float, unit: str = "") -> str:
    return f"  {name:36} {value:12.4g}{unit}"


def _collectives(plan: Plan) -> Iterator[str]:
    yield f"{'collectives of a device, over':44} {'calls':>8} {'GiB':>10}"
    if not plan.counts.collectives:
        yield "  none"
    for record in plan.counts.collectives:
        least = "  at least" if record.at_least else ""
        yield (
            f"  {record.kind:20} {', '.join(record.axes):22}{record.count:8} "
            f"{record.bytes / GIB:10.4g}{least}"
        )
    if plan.compiled is not None and plan.compiled.fitted:
        made = ", ".join(f"{kind} {n}" for kind, n in plan.compiled.collectives.items() if n)
        yield f"  instructions of the compiled program: {made or 'none'}"


def _work(plan: Plan) -> Iterator[str]:
    yield "work"
    if plan.flops is not None:
        yield _row("model FLOPs of all devices", plan.flops / 1e12, " T")
    if plan.flops != plan.counts.flops:
        yield _row("with recomputed ones", plan.counts.flops / 1e12, " T")
    if plan.bounds is not None:
        yield "  lower bounds of the time, at published peak rates:"
        for name, seconds in plan.bounds.items():
            if name != "network" or plan.case.target.slices > 1:
                yield _row(f"  {name}", seconds, " s")
    if plan.compiled is not None:
        yield _row("compiled in", plan.compiled.seconds, " s")


def _verdict(plan: Plan, *, searched: bool) -> str:
    if plan.fits is None:
        unknown = "not compiled" if plan.compiled is None else "--memory_gib names no limit"
        return f"fits: not known ({unknown})"
    if not plan.fits:
        return f"fits: no, {plan.missing:.2f} GiB are missing"
    known = "" if searched else "; whether more fits is not known, --search compiles it"
    return f"fits: yes, with {plan.available - plan.memory:.2f} GiB left{known}"


def to_json(plan: Plan, asked: Asked) -> dict[str, Any]:
    """Return a plan as nested dictionaries for JSON; unknown values are None.

    Args:
      plan: plan to report.
      asked: configuration and settings that the user gave.
    """
    case, compiled = plan.case, plan.compiled
    train = case.what == "train"
    return {
        "config": asked.config,
        "what": case.what,
        "topology": case.target.name,
        "slices": case.target.slices,
        "devices": case.target.count,
        "mesh": case.mesh,
        "batch_size": case.experiment.data.batch_size,
        "remat": train and case.experiment.train.remat,
        "memory_gib": plan.memory,
        "memory_parts_gib": plan.memory_parts,
        "estimated_memory_gib": plan.estimate,
        "available_gib": plan.available,
        "fits": plan.fits,
        "missing_gib": plan.missing,
        "collectives": plan.collectives,
        "compiled_collectives": compiled.collectives if compiled is not None else None,
        "flops": plan.flops,
        "flops_with_recomputation": plan.counts.flops,
        "time_bounds_seconds": plan.bounds,
        "seconds_to_compile": compiled.seconds if compiled is not None else None,
        "command": training_command(asked, case) if train else None,
        "versions": versions(),
    }
