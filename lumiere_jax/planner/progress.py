"""Progress of a plan on stderr, so that stdout holds the report alone."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence

INTERVAL = 30.0  # seconds between two lines of work that goes on


def say(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(
    work: str, expected: Sequence[float] | None = None, interval: float = INTERVAL
) -> Iterator[None]:
    """Print that work begins, from time to time that it goes on, and how long it took.

    Args:
      work: name of the work, such as "compiling".
      expected: shortest and longest expected duration in seconds; not printed when None.
      interval: seconds between two lines.
    """
    usual = f", usually {' to '.join(map(duration, expected))} on two cores" if expected else ""
    say(f"{work}{usual} …")
    begun, ended = time.perf_counter(), threading.Event()

    def tell() -> None:
        while not ended.wait(interval):
            say(f"  {duration(time.perf_counter() - begun)} so far")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    seconds = time.perf_counter() - begun
    if seconds >= 1:
        say(f"  took {duration(seconds)}")


def duration(seconds: float) -> str:
    """Return a duration in seconds or minutes, rounded."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
