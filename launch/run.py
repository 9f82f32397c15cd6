r"""Launch a run on one machine, on TPU VMs, on GKE or on a SLURM cluster.

python -m launch.run --platform=tpu_vm --topology=v5p:4x4x8 --dry_run -- \
    --config=configs/lumiere.py:base --workdir=gs://my-bucket/run

The arguments after `--` are passed on unchanged: flags of lumiere_jax.train, or a whole command.
`--dry_run` prints what would run, and needs no account and no program. The other settings are in
launch/settings.yaml. Exit codes: 0; 1 for an error, in one line; of the platform `local`, that of
the run.
"""

from __future__ import annotations

import dataclasses
import sys

from absl import flags

from lumiere_jax.one_line_errors import define_path, parse_flags, run

PLATFORMS = ("tpu_vm", "gke", "slurm", "local")


def define(values: flags.FlagValues) -> None:
    """Define the flags of this program.

    Args:
      values: flags that they are added to.
    """
    own = {"flag_values": values}
    flags.DEFINE_string("platform", None, f"Platform: one of {', '.join(PLATFORMS)}.", **own)
    define_path("settings", "launch/settings.yaml", "YAML file of settings.", values)
    flags.DEFINE_bool("dry_run", False, "Print what would run, and run nothing.", **own)
    _define_settings(values)


def _define_settings(values: flags.FlagValues) -> None:
    """Define the flags that override a value of the file of --settings, which describes it."""
    own = {"flag_values": values}
    define_path("output", None, "Folder on this machine for generated files.", values)
    define_path("venv", None, "Virtual environment on the nodes of SLURM.", values)
    flags.DEFINE_string("name", None, "Name of the run's machines, job and folder.", **own)
    flags.DEFINE_string("xla_flags", None, "XLA_FLAGS of every process.", **own)
    flags.DEFINE_float("backoff_seconds", None, "Delay before the first restart.", **own)
    flags.DEFINE_integer("tries", None, "Failures in a row before giving up.", **own)
    flags.DEFINE_float("progress_seconds", None, "Attempt that counts as progress.", **own)
    flags.DEFINE_string("topology", None, "TPU slice, such as v5p:4x4x8.", **own)
    flags.DEFINE_integer("slices", None, "TPU slices of that shape.", **own)
    flags.DEFINE_bool("spot", None, "Use TPU capacity that can be taken back.", **own)
    flags.DEFINE_string("libtpu_init_args", None, "LIBTPU_INIT_ARGS of every process.", **own)
    flags.DEFINE_string("project", None, "Google Cloud project.", **own)
    flags.DEFINE_string("zone", None, "Google Cloud zone.", **own)
    flags.DEFINE_string("runtime", None, "Image of the TPU VM.", **own)
    flags.DEFINE_bool("queued", None, "Wait in the queue of Cloud TPU.", **own)
    flags.DEFINE_bool("create", None, "Create the TPU VM.", **own)
    flags.DEFINE_string("python", None, "Python of the TPU VM.", **own)
    flags.DEFINE_string("image", None, "Container image.", **own)
    flags.DEFINE_bool("build", None, "Build and push the container image.", **own)
    flags.DEFINE_string("namespace", None, "Kubernetes namespace.", **own)
    flags.DEFINE_integer("nodes", None, "Nodes of the SLURM job.", **own)
    flags.DEFINE_integer("gpus_per_node", None, "GPUs of a node.", **own)
    flags.DEFINE_string("task", None, "One process a node, or one a gpu.", **own)
    flags.DEFINE_string("partition", None, "SLURM partition.", **own)
    flags.DEFINE_string("account", None, "SLURM account.", **own)
    flags.DEFINE_string("time", None, "Limit of the SLURM job.", **own)
    flags.DEFINE_integer("processes", None, "Processes on this machine.", **own)
    flags.DEFINE_integer("devices_per_process", None, "Parts of the CPU of a process.", **own)
    flags.DEFINE_float("grace_seconds", None, "Time to end after the first process.", **own)


def _define_command(values: flags.FlagValues) -> None:
    """Define what is read of the arguments after `--`, which are not changed."""
    own = {"flag_values": values}
    flags.DEFINE_string("config", None, "Configuration file and stage.", **own)
    define_path("workdir", None, "Folder of the run.", values)
    flags.DEFINE_integer("config.mesh.replica", None, "Copies of the model.", **own)
    flags.DEFINE_integer("config.mesh.fsdp", None, "Devices that divide a copy.", **own)
    flags.DEFINE_integer("config.mesh.context", None, "Devices that divide a frame.", **own)


def main(command: list[str], values: flags.FlagValues) -> int:
    """Start the run that the flags describe, and return the exit code.

    Args:
      command: arguments after `--`.
      values: flags of `define`.

    Raises:
      ValueError: a setting, a platform or a command that does not work.
      FileNotFoundError: a missing file, or a program that is not installed.
    """
    from launch import gke, local, slurm, tpu_vm
    from launch.job import Job
    from launch.report import after, describe
    from launch.settings import Settings, read_settings
    from launch.steps import execute
    from lumiere_jax.structure import check_choice

    if values["platform"].value is None:
        raise ValueError(f"--platform is missing; give one of {', '.join(PLATFORMS)}")
    platform = values["platform"].value
    check_choice("--platform", platform, PLATFORMS)
    overrides = {field.name: values[field.name].value for field in overridable(Settings, values)}
    settings = read_settings(values["settings"].value, overrides)
    job = Job(settings=settings, arguments=tuple(command), **read_command(command))
    launch = {"tpu_vm": tpu_vm, "gke": gke, "slurm": slurm, "local": local}[platform].plan(job)
    print(describe(launch, platform), flush=True)
    if values["dry_run"].value:
        return 0
    settings.require(*launch.required)
    code = local.start(launch) if platform == "local" else execute(launch)
    print(after(launch))
    return code


def overridable(settings: type, values: flags.FlagValues) -> list[dataclasses.Field]:
    """Return the settings that are flags; a mapping is in the file alone.

    Args:
      settings: dataclass of the settings.
      values: flags of `define`.
    """
    return [field for field in dataclasses.fields(settings) if field.name in values]


def read_command(command: list[str]) -> dict[str, object]:
    """Return the folder, stage and mesh that a command names, as fields of `launch.job.Job`.

    Args:
      command: arguments after `--`.

    Raises:
      ValueError: no command, or training without --config or --workdir.
      FileNotFoundError: the configuration file does not exist.
    """
    from lumiere_jax.parallel.mesh import AXES, MeshConfig
    from lumiere_jax.training.command_line import load_config

    example = "-- --config=configs/demo.py:base --workdir=runs/demo"
    if not command:
        raise ValueError(f"the command is missing; end the line with {example}")
    if not command[0].startswith("-"):
        return {}
    given = flags.FlagValues()
    _define_command(given)
    try:
        given(["command", *command], known_only=True)
    except flags.Error as error:
        raise ValueError(f"after --: {error}") from None
    config, workdir = given["config"].value, given["workdir"].value
    for name, value in (("config", config), ("workdir", workdir)):
        if value is None:
            raise ValueError(f"--{name} is missing after --; end the line with {example}")
    try:
        mesh = dict(load_config(config)["mesh"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"--config={config}: {error}") from None
    sizes = {axis: given[f"config.mesh.{axis}"].value for axis in AXES}
    mesh |= {axis: size for axis, size in sizes.items() if size is not None}
    stage = config.partition(":")[2] or None
    return {"workdir": workdir, "stage": stage, "mesh": MeshConfig(**mesh)}


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before and after the first `--`.

    Args:
      argv: arguments of the program.
    """
    place = argv.index("--") if "--" in argv else len(argv)
    return argv[:place], argv[place + 1 :]


if __name__ == "__main__":
    define(flags.FLAGS)
    run(
        lambda _: sys.exit(main(split(sys.argv)[1], flags.FLAGS)),
        flags_parser=lambda argv: parse_flags(split(argv)[0]),
    )
