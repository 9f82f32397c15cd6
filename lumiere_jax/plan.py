r"""Plan a run on a pod from a laptop: memory, collectives, FLOPs, bounds of the time.

The real program, compiled for a TPU that is not here (pip install 'lumiere-jax[tpu-compile]'):
    python -m lumiere_jax.plan --config=configs/lumiere.py:base --topology=v5p:4x4x8
Its collectives alone, in seconds and without a compiler:
    python -m lumiere_jax.plan --config=configs/lumiere.py:base --topology=v5p:4x4x8 --collectives
Another mesh, another batch, two slices, sampling instead of training:
    --mesh=fsdp=64,context=2 --batch_size=128 --slices=2 --what=sample
The largest batch and the least rematerialisation that fit, with at most three compilations:
    --search
On devices of this machine, such as eight parts of its CPU:
    python -m lumiere_jax.plan --config=configs/demo.py:base --devices=8

No data, tokens or weights are read. Every setting is a flag as in `lumiere_jax.train`. Exit codes:
0, or 1 for an error and for a plan that does not fit, in one line.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys

from absl import flags, logging
from ml_collections import config_flags

from lumiere_jax.one_line_errors import REPORT, define_path, run

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration file and stage, such as configs/lumiere.py:base."
)
TOPOLOGY = flags.DEFINE_string("topology", None, "TPU generation and shape, such as v5p:4x4x8.")
SLICES = flags.DEFINE_integer("slices", 1, "Slices of that shape; the axis replica crosses them.")
DEVICES = flags.DEFINE_integer("devices", None, "Devices of this machine instead of a topology.")
MEMORY = flags.DEFINE_float("memory_gib", None, "Memory of a device; the generation's by default.")
MESH = flags.DEFINE_string("mesh", None, "Devices along each axis, such as fsdp=4,context=2.")
BATCH = flags.DEFINE_integer("batch_size", None, "Clips over all devices.")
WHAT = flags.DEFINE_enum("what", "train", ["train", "sample"], "Training step, or sampling.")
COLLECTIVES = flags.DEFINE_bool("collectives", False, "Count alone, without a compiler.")
SEARCH = flags.DEFINE_bool("search", False, "Search batch, rematerialisation and mesh.")
JSON = define_path("json", None, "File for the plan as JSON; it must not exist.")


def main(_: list[str]) -> None:
    """Print the plan that the flags describe."""
    import jax

    if not any(argument.startswith(("--verbosity", "-v", "--v")) for argument in sys.argv):
        logging.set_verbosity(logging.WARNING)  # JAX logs the accelerators that it looks for
    if flags.FLAGS["config"].value is None:
        raise ValueError("--config is missing; try --config=configs/lumiere.py:base")
    if (TOPOLOGY.value is None) == (DEVICES.value is None):
        raise ValueError("give either --topology, such as v5p:4x4x8, or --devices, such as 8")
    if SEARCH.value and COLLECTIVES.value:
        raise ValueError("--search compiles, and --collectives does not; give one of them")
    if TOPOLOGY.value is not None:
        jax.config.update("jax_platforms", "cpu")  # a TPU of this machine is not the one planned
    elif DEVICES.value > 0:
        jax.config.update("jax_num_cpu_devices", DEVICES.value)

    from lumiere_jax.planner import (
        Cache,
        describe,
        make_plan,
        refusal,
        report,
        search,
        to_json,
    )
    from lumiere_jax.video.new_file import check_output, new_file, refuse_existing

    asked, case = _asked()
    if JSON.value is not None:
        refuse_existing(JSON.value)
        check_output(os.path.dirname(JSON.value) or ".", "--json")
    cache, found = Cache(), None
    if SEARCH.value:
        fixed = {"fixed_mesh": MESH.value is not None, "fixed_batch": BATCH.value is not None}
        result = search(case, cache, **fixed)
        plan, found = result.best or result.tried[-1], describe(result)
    else:
        plan = make_plan(case, cache, compile=not COLLECTIVES.value)
    print(report(plan, asked, found))
    if JSON.value is not None:
        with new_file(JSON.value) as path:
            path.write_text(json.dumps(to_json(plan, asked), indent=2) + "\n", encoding="utf-8")
    if plan.fits is False:
        raise ValueError(refusal(plan))


def _asked():
    """Return what the flags ask for, and the case that they describe."""
    from lumiere_jax.planner import Asked, Case, local_target, read_mesh, read_topology
    from lumiere_jax.training.command_line import to_experiment

    flag = flags.FLAGS["config"]
    experiment = to_experiment(CONFIG.value)
    asked = Asked(
        config=config_flags.get_config_filename(flag),
        overrides=config_flags.get_override_values(flag),
        experiment=experiment,
    )
    if TOPOLOGY.value is not None:
        target = read_topology(TOPOLOGY.value, SLICES.value, MEMORY.value)
    else:
        target = local_target(DEVICES.value, MEMORY.value)
    case = Case(experiment=experiment, target=target, what=WHAT.value)
    if MESH.value is not None:
        case = case.replaced(mesh=read_mesh(MESH.value, target.slices))
    batch = BATCH.value
    if case.what == "sample":
        train = dataclasses.replace(experiment.train, accumulate=1)
        case = dataclasses.replace(
            case, experiment=dataclasses.replace(case.experiment, train=train)
        )
        batch = batch or case.rows
    return asked, case.replaced(batch_size=batch)


def parse_flags(argv: list[str]) -> list[str]:
    """Parse the flags; a mistake in a flag or in the configuration file is reported in one line."""
    from lumiere_jax.training.command_line import explain_flags, with_home

    argv = with_home(argv)
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is not None:
            CONFIG.value.to_dict()  # raises the error of an unreadable file, which parsing delays
        return rest
    except Exception as error:  # a configuration file is a program: it may raise anything
        line = explain_flags(argv, error)
        if line is not None:
            sys.exit(f"error: {line}")
        error.add_note(REPORT)
        raise


if __name__ == "__main__":
    run(main, flags_parser=parse_flags)
