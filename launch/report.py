"""What a launch does, and where its results are, as text to print."""

from __future__ import annotations

import shlex

from launch.job import Launch


def describe(launch: Launch, platform: str) -> str:
    """Return everything that a launch will do: figures, environment, files and commands.

    Args:
      launch: plan of a platform.
      platform: name of the platform.
    """
    job, slices = launch.job, "" if launch.slices == 1 else f" in {launch.slices} slices"
    lines = [
        f"platform     {platform}",
        f"hosts        {launch.hosts}{slices}",
        f"processes    {launch.processes}",
        f"devices      {launch.devices}",
        f"mesh         {job.shape(launch.devices, launch.slices) or '(set by the command)'}",
        f"command      {shlex.join(job.command('python3'))}",
        "environment" + ("" if launch.environment else "  (nothing is set)"),
        *(f"  {key}={shlex.quote(value)}" for key, value in launch.environment.items()),
    ]
    for name, variable in (("XLA flags", "XLA_FLAGS"), ("libtpu flags", "LIBTPU_INIT_ARGS")):
        lines.append(f"{name:<12} {launch.environment.get(variable) or '(defaults)'}")
    for path, text in launch.files.items():
        lines += ["", f"file {path}", *(f"  | {line}".rstrip() for line in text.splitlines())]
    for step in launch.steps:
        lines += ["", f"# {step.words}", str(step)]
    return "\n".join([*lines, "", after(launch)])


def after(launch: Launch) -> str:
    """Return where the run's results are, and how to stop it.

    Args:
      launch: plan of a platform.
    """
    lines = [f"logs         {launch.logs}"]
    if launch.job.workdir is not None:
        folder = f"{launch.job.workdir.rstrip('/')}/{launch.job.stage or '<stage>'}"
        lines += [
            f"checkpoints  {folder}/checkpoints",
            f"metrics      {folder}/metrics.jsonl",
            f"profiles     {folder}/tensorboard",
        ]
    return "\n".join([*lines, f"stop         {launch.stop}"])
