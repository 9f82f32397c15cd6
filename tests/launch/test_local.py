"""Real processes on this machine: joined, restarted together, stopped together."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from launch.local import group_code, start
from tests.launch.launching import ROOT, launch, plan

# Ends with the codes of a file in turn, and records what it was given.
PROGRAM = """
import os, pathlib, sys
folder, index = pathlib.Path(sys.argv[1]), os.environ["JAX_PROCESS_ID"]
file = folder / ("codes" + index)
codes = file.read_text().split()
file.write_text(" ".join(codes[1:]))
with (folder / ("ports" + index)).open("a") as ports:
    ports.write(os.environ["JAX_COORDINATOR_ADDRESS"] + chr(10))
print(sys.argv[2:], os.environ["JAX_NUM_PROCESSES"], os.environ["XLA_FLAGS"], flush=True)
sys.exit(int(codes[0]))
"""


def run_codes(folder: pathlib.Path, first: str, second: str, **overrides):
    """Run two processes with these exit codes in turn; return the last code and the delays."""
    (folder / "codes0").write_text(first)
    (folder / "codes1").write_text(second)
    command = (sys.executable, "-S", "-c", PROGRAM, str(folder), "a b", "$HOME")
    delays: list[float] = []
    found = plan("local", command, output=str(folder / "out"), **overrides)
    return start(found, sleep=delays.append), delays


def test_processes_restart_together_at_once_after_75_later_after_1_and_end_after_0(tmp_path):
    code, delays = run_codes(tmp_path, "75 1 0 0", "75 0 1 0")
    assert code == 0
    assert delays == [0, 10, 20]
    log = (tmp_path / "out/lumiere/process-1.log").read_text().splitlines()
    assert log == ["['a b', '$HOME'] 2 --xla_force_host_platform_device_count=2"] * 4
    # Both were given the same port each time.
    assert (tmp_path / "ports0").read_text() == (tmp_path / "ports1").read_text()
    assert "<" not in (tmp_path / "ports0").read_text()


def test_failures_are_given_up_after_the_tries(tmp_path):
    code, delays = run_codes(tmp_path, "5 5 5", "0 0 0", tries=1)
    assert (code, delays) == (5, [10])


@pytest.mark.parametrize(
    ("codes", "code"), [([0, 0], 0), ([75, 75], 75), ([75, -9], 137), ([0, 1], 1)]
)
def test_a_group_has_one_exit_code(codes, code):
    assert group_code(codes) == code


def test_a_process_that_stays_after_another_has_ended_is_killed(tmp_path):
    program = (
        "import os, sys, time; time.sleep(int(os.environ['JAX_PROCESS_ID']) * 60); sys.exit(3)"
    )
    command = (sys.executable, "-S", "-c", program)
    found = plan("local", command, output=str(tmp_path), grace_seconds=0.1, tries=0)
    assert start(found) == 3


def test_sigterm_reaches_every_process_and_ends_the_loop(tmp_path):
    program = (
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "pathlib.Path(sys.argv[1], os.environ['JAX_PROCESS_ID']).touch()\n"
        "time.sleep(60)"
    )
    ready = tmp_path / "ready"
    ready.mkdir()
    command = (sys.executable, "-S", "-c", program, str(ready))

    def stop():
        while len(list(ready.iterdir())) < 2:
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert start(plan("local", command, output=str(tmp_path / "out"))) == 75


JOINING = """
import jax
from lumiere_jax.parallel import start_processes
start_processes()
print("joined", jax.process_index(), jax.process_count(), jax.device_count(), flush=True)
"""


def test_two_processes_join_through_jax(tmp_path):
    command = [sys.executable, "-m", "launch.run", "--platform=local", f"--output={tmp_path}"]
    command += ["--tries=0", "--", sys.executable, "-c", JOINING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "joined 0 2 4\n" in done.stdout
    assert "joined 1 2 4\n" in (tmp_path / "lumiere/process-1.log").read_text()


def test_the_exit_code_is_that_of_the_run(tmp_path):
    command = ["--", sys.executable, "-S", "-c", "raise SystemExit(6)"]
    assert launch("--platform=local", f"--output={tmp_path}", "--tries=0", *command) == 6
