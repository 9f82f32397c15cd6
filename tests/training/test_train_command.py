"""The entry point as users run it: one-line errors, and a run that resumes after a kill."""

import os
import signal
import subprocess
import sys
import time

import chex
import jax
import pytest
from orbax.checkpoint import v1 as ocp

from lumiere_jax.training.metric_writer import read_lines

TINY = [
    "--config=tests/tiny_config.py",
    "--config.train.steps=40",
    "--config.train.save_every=5",
    "--config.train.log_every=5",
]


def command(*arguments):
    return [sys.executable, "-m", "lumiere_jax.train", *arguments]


def environment(tmp_path):
    return os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla"), "XLA_FLAGS": ""}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=configs/nothing.py", "--workdir=x"], "no such file"),
        (["--config=configs/demo.py:image", "--workdir=x", "--config.train.stepz=3"], "steps?"),
        (["--config=configs/demo.py:base", "--workdir=x", "--config.data.frames=81"], "frames=84"),
        (["--config=configs/demo.py:image"], "--workdir is missing"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments, message, tmp_path):
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(tmp_path), check=False
    )
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert "Traceback" not in done.stderr


def start(tmp_path, name, log):
    return subprocess.Popen(
        command(*TINY, f"--workdir={tmp_path / name}"), env=environment(tmp_path), stderr=log
    )


def wait_for_checkpoint(process, folder, step):
    deadline = time.time() + 300
    while process.poll() is None and time.time() < deadline:
        if (folder / "checkpoints" / str(step)).exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint {step} in {folder}")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_a_killed_run_ends_in_the_same_bits(tmp_path, number, code):
    with (tmp_path / "log").open("w") as log:
        straight = start(tmp_path, "straight", log)
        assert straight.wait() == 0
        killed = start(tmp_path, "killed", log)
        wait_for_checkpoint(killed, tmp_path / "killed" / "image", 5)
        killed.send_signal(number)
        assert killed.wait() == code
        again = start(tmp_path, "killed", log)
        assert again.wait() == 0
    one, other = (
        ocp.load_checkpointables(tmp_path / name / "image" / "checkpoints" / "40")
        for name in ("straight", "killed")
    )
    chex.assert_trees_all_equal(jax.device_get(one), jax.device_get(other))
    lines = read_lines(tmp_path / "killed" / "image" / "metrics.jsonl")
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert steps[-1] == 40
