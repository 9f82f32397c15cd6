"""Run the launcher inside of the test's process, and programs that record their arguments."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys

from absl import flags

from launch import gke, local, slurm, tpu_vm
from launch.job import Job, Launch
from launch.run import define, main, read_command, split
from launch.settings import read_settings

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED = ROOT / "launch/settings.yaml"
PLATFORMS = {"tpu_vm": tpu_vm, "gke": gke, "slurm": slurm, "local": local}
TRAINING = ("--config=configs/lumiere.py:base", "--workdir=gs://bucket/run")
# Tools that the scripts use; the real gcloud of a developer's machine must stay out of reach.
TOOLS = ("bash", "cat", "dirname", "env", "gzip", "sleep", "tar")

PROGRAM = """#!{python} -S
import json, os, sys
with open({record!r}, "a") as file:
    file.write(json.dumps(sys.argv) + chr(10))
print({output!r})
sys.exit({code})
"""


def launch(*arguments: str) -> int:
    """Return the exit code of `python -m launch.run` with these arguments."""
    before, command = split(["launch", *arguments])
    values = flags.FlagValues()
    define(values)
    values(before)
    return main(command, values)


def plan(platform: str, command: tuple[str, ...] = TRAINING, **overrides) -> Launch:
    """Return the plan of a platform, with the shipped settings and some others."""
    settings = read_settings(str(SHIPPED), overrides)
    return PLATFORMS[platform].plan(
        Job(settings=settings, arguments=command, **read_command(list(command)))
    )


class Programs:
    """A folder of programs that record their arguments, to be the only PATH.

    Args:
      folder: empty folder.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder, self._record = folder, folder / "record.jsonl"
        for tool in TOOLS:
            (folder / tool).symlink_to(shutil.which(tool))

    def add(self, name: str, output: str = "", code: int = 0) -> None:
        """Write a program that prints a text and ends with an exit code."""
        text = PROGRAM.format(
            python=sys.executable, record=str(self._record), output=output, code=code
        )
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    def calls(self) -> list[list[str]]:
        """Return the arguments of each call, beginning with the program's name."""
        if not self._record.exists():
            return []
        calls = [json.loads(line) for line in self._record.read_text().splitlines()]
        return [[pathlib.Path(call[0]).name, *call[1:]] for call in calls]
