"""`python -m lumiere_jax.plan`, as it is typed."""

import json
import os
import subprocess
import sys


def run(home, *arguments):
    """Run the command with a cache of its own; return the finished process."""
    command = [sys.executable, "-m", "lumiere_jax.plan", *map(str, arguments)]
    environment = os.environ | {"HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_the_demo_is_counted_without_its_data_and_for_a_topology_without_a_compiler(tmp_path):
    flags = (
        "--config=configs/demo.py:ssr_image",
        "--config.data.source=records:nowhere",
        "--topology=v5e:4x4",
        "--mesh=fsdp=-1",
        "--collectives",
        f"--json={tmp_path / 'plan.json'}",
    )
    done = run(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("tracing a training step of 16 clips on replica 1 × fsdp 16")
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["collectives"]["all_gather"]["by_axes"].keys() == {"fsdp"}
    assert plan["available_gib"] == 15.75
    assert plan["time_bounds_seconds"]["compute"] > 0
    refused = run(tmp_path, *flags)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {tmp_path}/plan.json exists; delete it")


def test_a_mistake_is_one_line(tmp_path):
    done = run(tmp_path, "--config=configs/demo.py:base", "--topology=v9:2x2")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --topology=v9:2x2 is not known; give a generation and a shape")


def test_a_plan_that_does_not_fit_exits_with_1_and_is_still_written(tmp_path):
    flags = ("--config=tests/tiny_config.py:image", "--devices=4", "--memory_gib=0.0001")
    done = run(tmp_path, *flags, f"--json={tmp_path / 'plan.json'}")
    assert done.returncode == 1
    assert "fits: no, 0.00 GiB are missing" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: the plan does not fit: it needs at lea")
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["fits"] is False
    assert plan["missing_gib"] > 0
