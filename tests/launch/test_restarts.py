"""When a command runs again: at once after 75, later after a failure, never after 0."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from launch.restarts import Restarts, shell_loop
from launch.settings import read_settings
from tests.launch.launching import SHIPPED, plan


def settings(**overrides):
    return read_settings(str(SHIPPED), overrides)


def test_zero_ends_and_75_restarts_at_once():
    restarts = Restarts(settings())
    assert restarts.delay(0, 1.0) is None
    assert restarts.delay(75, 1.0) == 0


def test_the_delay_grows_until_the_tries_are_used_up():
    restarts = Restarts(settings(tries=3))
    assert [restarts.delay(1, 1.0) for _ in range(4)] == [10, 20, 30, None]


@pytest.mark.parametrize(("code", "seconds"), [(75, 1.0), (1, 3600.0)])
def test_progress_counts_failures_anew(code, seconds):
    restarts = Restarts(settings(tries=2))
    restarts.delay(1, 1.0)
    restarts.delay(1, 1.0)
    restarts.delay(code, seconds)
    assert restarts.delay(1, 1.0) is not None


COUNTING = """
import pathlib, sys
file = pathlib.Path(sys.argv[1])
codes = file.read_text().split()
file.write_text(" ".join(codes[1:]))
sys.exit(int(codes[0]))
"""


def run_loop(tmp_path, codes, **overrides):
    """Run the shell loop with a program that ends with these codes in turn."""
    file = tmp_path / "the codes"
    file.write_text(" ".join(map(str, codes)))
    command = [sys.executable, "-S", "-c", COUNTING, str(file)]
    script = shell_loop(settings(backoff_seconds=0.0, **overrides), command) + 'exit "$code"'
    done = subprocess.run(
        ["bash", "-uo", "pipefail", "-c", script], capture_output=True, text=True, timeout=30
    )
    return done, file.read_text().split()


def test_the_shell_loop_follows_the_rule(tmp_path):
    done, left = run_loop(tmp_path, [75, 1, 137, 75, 0, 9])
    assert (done.returncode, left) == (0, ["9"])
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == [
        "exit code 75: again at once",
        "exit code 1: again in 0 s (1 of 10)",
        "exit code 137: again in 0 s (2 of 10)",
        "exit code 75: again at once",
        "ended with exit code 0",
    ]


def test_the_shell_loop_gives_up(tmp_path):
    done, left = run_loop(tmp_path, [3, 3, 3, 0], tries=2)
    assert (done.returncode, left) == (3, ["0"])
    assert "exit code 3: giving up" in done.stdout


def test_the_shell_loop_counts_anew_after_progress(tmp_path):
    done, _ = run_loop(tmp_path, [3, 3, 3, 3, 0], tries=1, progress_seconds=0.0)
    assert done.returncode == 0


STOPPING = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print("ready", flush=True)
time.sleep(30)
"""


@pytest.mark.parametrize("where", ["tpu_vm", "gke"])
def test_the_scripts_pass_sigterm_on_and_do_not_restart(where):
    command = (sys.executable, "-S", "-c", STOPPING)
    if where == "gke":
        text = next(iter(plan("gke", command).files.values()))
        [job] = yaml.safe_load(text)["spec"]["replicatedJobs"]
        pod = job["template"]["spec"]["template"]["spec"]
        script = pod["containers"][0]["command"][2]
    else:
        script = shell_loop(settings(), command) + 'exit "$code"'
    process = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 75
    assert "again" not in output


def test_a_failing_pod_waits_before_it_ends():
    command = ("bash", "-c", "exit 4")
    text = next(iter(plan("gke", command, backoff_seconds=0.0).files.values()))
    [job] = yaml.safe_load(text)["spec"]["replicatedJobs"]
    script = job["template"]["spec"]["template"]["spec"]["containers"][0]["command"][2]
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 4
    assert done.stdout == "launch: exit code 4, passed on in 0 s\n"
