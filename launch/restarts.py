"""Decide when a command runs again: one rule, in Python and as a shell script.

Exit code 0 ends the run. 75 (a signal stopped it after a checkpoint) restarts it at once. Any other
code restarts it after a delay that grows with the failures in a row, which an attempt that lasted
long enough, or a 75, counts anew.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence

from launch.settings import Settings
from lumiere_jax.training.preemption import Preemption

AGAIN = Preemption.EXIT_CODE


class Restarts:
    """Count of the failures of a command in a row.

    Args:
      settings: settings of the launch: `backoff_seconds`, `tries` and `progress_seconds`.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self.failures = 0

    def delay(self, code: int, seconds: float) -> float | None:
        """Return the seconds until the command runs again, or None if it does not.

        Args:
          code: exit code of the attempt.
          seconds: duration of the attempt.
        """
        if code == 0:
            return None
        if code == AGAIN or seconds >= self._settings.progress_seconds:
            self.failures = 0
        if code == AGAIN:
            return 0.0
        self.failures += 1
        if self.failures > self._settings.tries:
            return None
        return self._settings.backoff_seconds * self.failures


# Waits for $child and sets $code. A signal ends `wait` early, with a code of its own; that of the
# child is kept for the next `wait`, which ends with 127 if it was given already.
WAIT_FOR_CHILD = """\
code=
while true; do
  seen=$signals
  wait "$child" && ended=0 || ended=$?
  if [ -z "$code" ] || [ "$ended" -ne 127 ]; then code=$ended; fi
  if [ "$signals" -eq "$seen" ]; then break; fi
done
"""

LOOP = """\
# Exit code 0 ends the run, {again} runs the command again at once, another after a delay. TERM is
# passed on, and ends the loop.
failures=0 signals=0 child= {extra_state}
pass_on() {{ signals=$((signals + 1)); [ -z "$child" ] || kill -TERM "$child" 2>/dev/null; }}
trap pass_on TERM INT
{extra_trap}while true; do
  began=$SECONDS
  {command} &
  child=$!
{wait}  if [ "$signals" -gt 0 ] || [ "$code" -eq 0 ]; then break; fi
  if [ "$code" -eq {again} ] || [ $((SECONDS - began)) -ge {progress} ]; then failures=0; fi
  if [ "$code" -eq {again} ]; then echo "launch: exit code {again}: again at once"; continue; fi
  failures=$((failures + 1))
  if [ "$failures" -gt {tries} ]; then echo "launch: exit code $code: giving up"; break; fi
  delay=$((failures * {backoff}))
  echo "launch: exit code $code: again in $delay s ($failures of {tries})"
  sleep "$delay" &
  child=$!
  wait "$child" || true
  if [ "$signals" -gt 0 ]; then break; fi
done
echo "launch: ended with exit code $code"
"""


def shell_loop(settings: Settings, command: Sequence[str], trap: str = "", state: str = "") -> str:
    """Return lines of bash that run a command by the rule; `$code` is its last exit code then.

    Args:
      settings: settings of the launch; seconds are rounded to whole ones.
      command: program and arguments.
      trap: further lines that set traps.
      state: further variables, as assignments.
    """
    return LOOP.format(
        again=AGAIN,
        wait=textwrap.indent(WAIT_FOR_CHILD, "  "),
        command=shlex.join(command),
        progress=round(settings.progress_seconds),
        tries=settings.tries,
        backoff=round(settings.backoff_seconds),
        extra_trap=trap,
        extra_state=state,
    )
