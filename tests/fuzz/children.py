"""Readers in child processes with a limit on time and memory, so that a crash is an outcome."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pathlib
import resource
import traceback
from typing import NamedTuple

SECONDS = 20.0  # limit for one file; the slowest reader compiles nothing and needs two seconds
MEMORY = 3 << 30  # limit in bytes, beyond the memory of the imports
REFUSALS = (ValueError, OSError)  # exceptions that a reader may raise; VideoError is a ValueError


class Outcome(NamedTuple):
    """Result of reading a file.

    Attributes:
      kind: "accepted", "refused", or "other": another exception, a crash, or a limit exceeded.
      detail: message or traceback.
    """

    kind: str
    detail: str


class Child:
    """One process that reads files one after another; restarted after a crash."""

    def __init__(self):
        self._context = multiprocessing.get_context("spawn")
        self._process, self._pipe = None, None

    def read(self, target: str, folder: str) -> Outcome:
        """Read the files of a folder with the reader of a target."""
        if self._process is None:
            self._start()
        self._pipe.send((target, folder))
        if not self._pipe.poll(SECONDS):
            self.close()
            return Outcome("other", f"took longer than {SECONDS:g} seconds")
        try:
            return Outcome(*self._pipe.recv())
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self.close()
            return Outcome("other", f"the process died (exit code {code})")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = None

    def _start(self) -> None:
        self._pipe, there = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(there,), daemon=True)
        self._process.start()
        there.close()
        self._pipe.recv()  # sent after its imports


def _work(pipe) -> None:
    """Read the targets and folders that the parent sends, until it closes the pipe."""
    from tests.fuzz.targets import TARGETS

    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders print warnings about a file
        os.dup2(quiet, stream)
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            target, folder = pipe.recv()
            pipe.send(_outcome(TARGETS[target].read, folder))


def _outcome(read, folder: str) -> tuple[str, str]:
    try:
        read(folder)
    except REFUSALS as error:
        return "refused", f"{type(error).__name__}: {error}"
    except BaseException:
        return "other", traceback.format_exc()
    return "accepted", ""
