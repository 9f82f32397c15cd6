"""Several processes on this machine, joined over loopback: a pod in miniature.

The processes are restarted together, since none can go on without the others.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from launch.job import Job, Launch, Step, variables
from launch.restarts import AGAIN, Restarts

PORT = "<free port>"
POLL = 0.05  # seconds between two looks at the processes


def plan(job: Job) -> Launch:
    """Return the processes, their environment and their figures.

    Args:
      job: run to launch.
    """
    settings = job.settings
    cpu: dict[str, str] = {}
    flags = settings.xla_flags
    if settings.devices_per_process is not None:
        cpu["JAX_PLATFORMS"] = "cpu"
        parts = f"--xla_force_host_platform_device_count={settings.devices_per_process}"
        flags = f"{parts} {flags}".strip()
    if settings.processes > 1:
        cpu["JAX_COORDINATOR_ADDRESS"] = f"localhost:{PORT}"
        cpu["JAX_NUM_PROCESSES"] = str(settings.processes)
    environment = variables(settings, **cpu)
    if flags and "XLA_FLAGS" not in settings.environment:
        environment["XLA_FLAGS"] = flags
    return Launch(
        job=job,
        hosts=1,
        processes=settings.processes,
        devices=settings.processes * (settings.devices_per_process or 1),
        environment=environment,
        steps=[
            Step(
                words=f"process {index} of {settings.processes}",
                command=["env", *_process(index, settings.processes), *job.command(sys.executable)],
            )
            for index in range(settings.processes)
        ],
        logs=f"process 0 prints here, process i to {settings.output}/{settings.name}/"
        "process-<i>.log",
        stop="Ctrl-C, or SIGTERM to this program: the processes save a checkpoint and end",
    )


def start(launch: Launch, sleep: Callable[[float], None] | None = None) -> int:
    """Run the processes, again by the rule of `launch.restarts`, and return the last exit code.

    SIGTERM and SIGINT are passed on to the processes, and end the loop; a second one kills them.

    Args:
      launch: result of `plan`.
      sleep: function that waits some seconds; by default one that a signal ends.
    """
    restarts, stopped = Restarts(launch.job.settings), Stop()
    with stopped, contextlib.suppress(KeyboardInterrupt):
        while True:
            began = time.monotonic()
            code = _attempt(launch, stopped)
            delay = restarts.delay(code, time.monotonic() - began)
            if stopped.received or delay is None:
                return code
            tries = launch.job.settings.tries
            after = f"in {delay:g} s ({restarts.failures} of {tries})" if delay else "at once"
            print(f"launch: exit code {code}: again {after}", file=sys.stderr, flush=True)
            (sleep or stopped.sleep)(delay)
            if stopped.received:
                return code
    return 128 + signal.SIGINT


class Stop:
    """Handler of SIGTERM and SIGINT while it is entered; `received` says whether one came."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.received = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Stop:
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def sleep(self, seconds: float) -> None:
        """Wait until the seconds are over or a signal came.

        Args:
          seconds: duration.
        """
        end = time.monotonic() + seconds
        while not self.received and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL))

    def _note(self, *_: object) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = True


def _process(index: int, count: int) -> list[str]:
    """Return the variable that tells a process its number, as `NAME=value`."""
    return [f"JAX_PROCESS_ID={index}"] if count > 1 else []


def _attempt(launch: Launch, stopped: Stop) -> int:
    """Start all processes, wait for them, and return one exit code."""
    settings = launch.job.settings
    folder = pathlib.Path(settings.output, settings.name)
    folder.mkdir(parents=True, exist_ok=True)
    port = str(_free_port())  # a new one each time: the last may still be in use
    environment = {key: value.replace(PORT, port) for key, value in launch.environment.items()}
    processes: list[subprocess.Popen] = []
    try:
        for index, step in enumerate(launch.steps):
            log = None if index == 0 else folder / f"process-{index}.log"
            processes.append(_open(step.command, environment, log))
        return _wait(processes, stopped, settings.grace_seconds)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _open(
    command: Sequence[str], environment: Mapping[str, str], log: pathlib.Path | None
) -> subprocess.Popen:
    # A session of their own: Ctrl-C reaches this program alone, which passes it on once.
    options = {"env": os.environ | environment, "start_new_session": True}
    if log is None:
        return subprocess.Popen(command, **options)
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, **options)


def _wait(processes: Sequence[subprocess.Popen], stopped: Stop, grace: float) -> int:
    """Wait until all processes have ended, the last at most `grace` seconds after the first."""
    told, deadline = False, None
    while any(process.poll() is None for process in processes):
        if stopped.received and not told:
            told = True
            for process in processes:
                process.send_signal(signal.SIGTERM)
        if deadline is None and any(process.poll() is not None for process in processes):
            deadline = time.monotonic() + grace
        if deadline is not None and time.monotonic() > deadline:
            print("launch: killing the processes that are left", file=sys.stderr, flush=True)
            break
        time.sleep(POLL)
    for process in processes:
        if process.poll() is None:
            process.kill()
    return group_code([process.wait() for process in processes])


def group_code(codes: Sequence[int]) -> int:
    """Return the exit code of a group of processes.

    Args:
      codes: exit codes; those of signals are negative.

    Returns:
      0 if all are 0, 75 if all are 75 or 0, else the first other one (128 + a signal's number).
    """
    failures = [code for code in codes if code not in (0, AGAIN)]
    if failures:
        return failures[0] if failures[0] > 0 else 128 - failures[0]
    return AGAIN if AGAIN in codes else 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]
