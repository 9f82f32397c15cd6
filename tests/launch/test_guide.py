"""Every launch in the guide works as a dry run."""

import re
import shlex

import pytest

from tests.launch.launching import ROOT, launch

GUIDE = re.sub(r"\\\n\s*", " ", (ROOT / "docs/launch.md").read_text(encoding="utf-8"))
COMMANDS = re.findall(r"^python -m launch\.run (.*)$", GUIDE, re.MULTILINE)


def test_the_guide_has_two_launches_of_each_platform_but_local():
    for platform, count in {"local": 1, "tpu_vm": 3, "gke": 2, "slurm": 2}.items():
        assert len([line for line in COMMANDS if f"--platform={platform} " in line]) == count


@pytest.mark.parametrize("command", COMMANDS)
def test_a_launch_of_the_guide_works_as_a_dry_run(command, capsys):
    before, after = map(shlex.split, command.split(" -- "))
    assert launch(*before, "--dry_run", "--", *after) == 0
    assert shlex.join(["lumiere_jax.train", *after]) in capsys.readouterr().out
