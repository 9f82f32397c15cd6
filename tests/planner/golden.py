"""Golden counts: the collectives of a training step, by configuration and mesh.

    python -m tests.planner.golden          # rewrite those that the suite compares
    python -m tests.planner.golden all      # and those of whole configurations, in a quarter hour

A file in tests/golden/collectives has {mesh: {kind: {axes: [count, bytes]}}}: executions of one
device in a step, and the bytes of `lumiere_jax.parallel.count.Collective`. A difference is either
meant, and the files are written again, or a collective that nobody asked for.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from typing import Any

from lumiere_jax.parallel.count import count_collectives
from lumiere_jax.planner.programs import for_target, training_program
from lumiere_jax.planner.targets import local_target, read_mesh
from lumiere_jax.training.command_line import load_config, to_experiment
from lumiere_jax.training.config import Experiment

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "tests/golden/collectives"
DEVICES = 8
MESHES = ("fsdp=8", "replica=2,fsdp=4", "fsdp=4,context=2")
# Whole networks take a quarter of a minute each to trace. With one block at the finest level and
# one at the coarsest, each kind of block and of layer still occurs.
LEVELS = ("channels", "attention")
SHALLOW = ("lumiere:base", "deepfloyd_if:m_base")
WHOLE = (
    *("lumiere:image", "lumiere:base", "lumiere:conditional", "lumiere:ssr"),
    *("deepfloyd_if:m_base", "deepfloyd_if:l_base", "deepfloyd_if:xl_base", "deepfloyd_if:m_ssr"),
)


def experiment_of(name: str, *, shallow: bool) -> Experiment:
    """Return a configuration with one clip for each of the devices.

    Args:
      name: file and stage, such as "lumiere:base".
      shallow: True for two levels of one block, with one layer of temporal attention.
    """
    file, _, stage = name.partition(":")
    found = to_experiment(load_config(f"{ROOT / 'configs' / file}.py:{stage}"))
    model = found.model
    if shallow:
        ends = {name: getattr(model, name)[:: len(model.channels) - 1] for name in LEVELS}
        ends["temporal"] = dataclasses.replace(model.temporal, attention_layers=1)
        model = dataclasses.replace(model, blocks=(1, 1), **ends)
    data = dataclasses.replace(found.data, batch_size=DEVICES)
    return dataclasses.replace(found, model=model, data=data)


def count(name: str, mesh: str, *, shallow: bool) -> dict[str, Any]:
    """Count the collectives of a training step.

    Args:
      name: file and stage, such as "lumiere:base".
      mesh: sizes of the mesh's axes, such as "fsdp=4,context=2".
      shallow: True for two levels of one block, with one layer of temporal attention.

    Returns:
      {kind: {axes: [count, bytes]}}.
    """
    experiment = for_target(experiment_of(name, shallow=shallow), accelerator=True)
    program = training_program(experiment, local_target(DEVICES).abstract_mesh(read_mesh(mesh)))
    counts: dict[str, Any] = {}
    for record in count_collectives(program.traced.jaxpr):
        kind = counts.setdefault(record.kind, {})
        kind[",".join(record.axes)] = [record.count, record.bytes]
    return counts


def path_of(name: str, *, shallow: bool) -> pathlib.Path:
    """Return the file of a configuration's counts.

    Args:
      name: file and stage, such as "lumiere:base".
      shallow: True for two levels of one block, with one layer of temporal attention.
    """
    return FOLDER / f"{name.replace(':', '_')}{'_shallow' if shallow else ''}.json"


def read(name: str, *, shallow: bool) -> dict[str, Any]:
    """Return the golden counts of a configuration, by mesh.

    Args:
      name: file and stage, such as "lumiere:base".
      shallow: True for two levels of one block, with one layer of temporal attention.
    """
    return json.loads(path_of(name, shallow=shallow).read_text())


def write(name: str, *, shallow: bool) -> None:
    """Write the counts of a configuration on all meshes, a line for each kind.

    Args:
      name: file and stage, such as "lumiere:base".
      shallow: True for two levels of one block, with one layer of temporal attention.
    """
    lines = []
    for mesh in MESHES:
        kinds = count(name, mesh, shallow=shallow)
        inside = ",\n".join(f"  {json.dumps(kind)}: {json.dumps(n)}" for kind, n in kinds.items())
        lines.append(f" {json.dumps(mesh)}: {{\n{inside}\n }}")
    path = path_of(name, shallow=shallow)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(path.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    for name in SHALLOW:
        write(name, shallow=True)
    if "all" in sys.argv:
        for name in WHOLE:
            write(name, shallow=False)
