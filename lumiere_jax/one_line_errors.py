"""What an entry point answers when it was asked for what cannot be: one line, exit code 1."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def one_line_errors(*further: type[Exception]) -> Iterator[None]:
    """Ends the program with `error: …` instead of a traceback; --verbosity=1 shows the latter.

    Args:
      *further: exceptions that are answers to the user, besides ValueError and OSError.
    """
    try:
        yield
    except (ValueError, OSError, *further) as error:
        if logging.level_debug():
            raise
        sys.exit(f"error: {error}")
