"""Run the commands of a launch on this machine."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

from launch.job import Launch

INSTALL = {
    "gcloud": "install it from https://cloud.google.com/sdk/docs/install, then gcloud auth login",
    "kubectl": "gcloud components install kubectl, then gcloud container clusters get-credentials",
    "sbatch": "run this on a login node of the SLURM cluster, where its client programs are",
    "docker": "install it from https://docs.docker.com/engine/install",
}


def execute(launch: Launch) -> int:
    """Write the files of a launch, run its commands in order, and return 0.

    Args:
      launch: plan of a platform.

    Raises:
      FileNotFoundError: a program is not installed; nothing was written or run.
      ValueError: a command failed; those after it were not run.
    """
    for program in dict.fromkeys(step.command[0] for step in launch.steps):
        if shutil.which(program) is None:
            known = INSTALL.get(program, "install it")
            raise FileNotFoundError(f"the program {program} is not installed: {known}")
    for name, text in launch.files.items():
        path = pathlib.Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for step in launch.steps:
        print(f"launch: {step.words}", flush=True)
        code = subprocess.run(step.command).returncode
        if code:
            raise ValueError(f"exit code {code} of: {step}")
    return 0
