"""The flags of a plan, and changes that help one that does not fit."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from lumiere_jax.planner.case import Case
from lumiere_jax.planner.plan import Plan
from lumiere_jax.structure import differences
from lumiere_jax.training.config import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user asked for.

    Attributes:
      config: configuration file and stage, such as "configs/lumiere.py:base".
      overrides: settings given as --config.… flags, by name.
      experiment: settings that these make, before the flags of the plan change them.
    """

    config: str
    overrides: Mapping[str, Any]
    experiment: Experiment


def training_command(asked: Asked, case: Case) -> str:
    """Return the command that trains as planned.

    Args:
      asked: configuration and settings that the user gave.
      case: planned case.
    """
    changed = differences(asked.experiment, case.experiment)
    planned = {name: new for name, (_, new) in changed.items()}
    planned |= {f"mesh.{axis}": size for axis, size in case.mesh.items()}
    planned |= {"data.batch_size": case.experiment.data.batch_size}
    planned |= {"train.remat": case.experiment.train.remat}
    settings = {**asked.overrides, **planned}
    flags = [shlex.quote(f"--config.{name}={value}") for name, value in settings.items()]
    return " ".join(
        ["python -m lumiere_jax.train", f"--config={asked.config}", "--workdir=…", *flags]
    )


def helpful_changes(case: Case) -> list[str]:
    """Return flags that lower the memory of a device, those first that change least.

    Args:
      case: case that does not fit.
    """
    experiment, mesh, slices = case.experiment, case.mesh, case.target.slices
    changes = []
    if case.what == "train" and not experiment.train.remat:
        changes.append("--config.train.remat=True")
    if mesh["replica"] > slices:
        fsdp = mesh["replica"] // slices * mesh["fsdp"]
        changes.append(f"--mesh=replica={slices},fsdp={fsdp},context={mesh['context']}")
    clips = experiment.data.batch_size // case.rows
    if case.what == "train" and clips > experiment.train.accumulate:
        changes.append(f"--config.train.accumulate={clips}")
    if clips > 1:
        changes.append(f"--batch_size={clips // 2 * case.rows}")
    elif 2 * mesh["context"] in contexts(case) and mesh["fsdp"] % 2 == 0:
        # Each frame's rows over twice the devices: half the clips at a time.
        sizes = f"replica={mesh['replica']},fsdp={mesh['fsdp'] // 2},context={2 * mesh['context']}"
        changes.append(f"--mesh={sizes} --batch_size={case.rows // 2}")
    return changes


def contexts(case: Case) -> list[int]:
    """Return the numbers of devices that can divide a frame's rows, smallest first.

    Args:
      case: program and devices; its mesh does not matter.
    """
    experiment = case.experiment
    model, data = experiment.model, experiment.data
    if model.bypass or (model.temporal is not None and model.temporal.pattern):
        return [1]  # these networks need whole frames
    side = data.clip_size if case.what == "train" else data.size
    coarsest, devices = side // model.spatial_factor, case.target.count // case.target.slices
    return [n for n in range(1, coarsest + 1) if coarsest % n == devices % n == 0]


def refusal(plan: Plan) -> str:
    """Return one line about a plan that does not fit: by how much, and what would help.

    Args:
      plan: plan that does not fit.
    """
    bound = "" if plan.compiled is not None and plan.compiled.fitted else "at least "
    changes = helpful_changes(plan.case)
    helps = f"any of these needs less: {'; '.join(changes)}" if changes else "use more devices"
    search = ", or let --search choose" if plan.case.tpu else ""
    return (
        f"the plan does not fit: it needs {bound}{plan.missing:.2f} GiB more than the "
        f"{plan.available:.2f} GiB of a device; {helps}{search}"
    )
