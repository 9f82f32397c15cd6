"""The TPU compiler on a machine without a TPU: descriptions of slices that programs compile for.

libtpu takes a lock for as long as its process lives; a second program waits here for the first.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from lumiere_jax.one_line_errors import MissingExtra
from lumiere_jax.planner.progress import say
from lumiere_jax.planner.targets import Target

# libtpu asks a metadata server of Google Cloud about the machine, which a laptop has none of, and
# complains on stderr about what it does not learn; the type is any that it knows.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}
LOCKED = ("ABORTED", "lockfile")
PAUSE = 2.0  # seconds between two attempts
REMINDER = 60.0  # seconds between two lines about waiting


def libtpu_version() -> str | None:
    """Return the version of the installed TPU compiler; None without one."""
    if importlib.util.find_spec("libtpu") is None:
        return None
    for name in ("libtpu", "libtpu-nightly"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def check_libtpu() -> None:
    """Raise a MissingExtra unless the TPU compiler is installed."""
    if libtpu_version() is None:
        raise MissingExtra(
            "--topology needs the TPU compiler: pip install 'lumiere-jax[tpu-compile]'; "
            "--collectives counts without it"
        )


def describe_devices(
    target: Target,
    *,
    describe: Callable[..., Any] | None = None,
    pause: float = PAUSE,
    reminder: float = REMINDER,
) -> Sequence[Any]:
    """Return the devices of a topology, which exist nowhere; waits for libtpu's lock.

    Args:
      target: slices to describe.
      describe: function that describes them; that of JAX when None.
      pause: seconds between two attempts.
      reminder: seconds between two lines on stderr about waiting.

    Raises:
      MissingExtra: libtpu is not installed.
      ValueError: libtpu describes no such slice.
    """
    if describe is None:
        from jax.experimental.topologies import get_topology_desc

        check_libtpu()
        describe = get_topology_desc
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    options = dict(target.chip.options) | (
        {"num_slices": target.slices} if target.slices > 1 else {}
    )
    said = None
    while True:
        try:
            return describe(target.name, platform="tpu", **options).devices
        except Exception as error:  # JaxRuntimeError is a RuntimeError, of any cause
            if not all(word in str(error) for word in LOCKED):
                raise ValueError(
                    f"--topology={target.name}: libtpu describes none: {error}"
                ) from None
        now = time.monotonic()
        if said is None or now - said >= reminder:
            said = now
            say(
                "waiting for another program that uses libtpu to end (it holds "
                "/tmp/libtpu_lockfile; delete the file if there is none) …"
            )
        time.sleep(pause)
