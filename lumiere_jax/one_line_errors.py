"""Start an entry point, and report a mistake of the user in one line with exit code 1.

A mistake (`EXPECTED`) is one line that names the flag or file. Any other exception is a fault of
this program: it keeps its traceback, and asks for a report.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from absl import app, flags, logging

flags.disclaim_key_flags()  # a path flag belongs to the program that defines it, in --help too
REPORT = "This is a fault of lumiere_jax: please report it, with the command and the lines above."


class MissingExtra(ImportError):
    """A missing package that an extra installs; the message has the pip command."""


EXPECTED: tuple[type[Exception], ...] = (ValueError, OSError, MissingExtra)


@contextlib.contextmanager
def one_line_errors(*further: type[Exception]) -> Iterator[None]:
    """End the program with `error: …` instead of a traceback, which --verbosity=1 shows.

    Args:
      *further: exceptions that are mistakes of the user, besides `EXPECTED`.
    """
    try:
        yield
    except (*EXPECTED, *further) as error:
        if logging.level_debug():
            raise
        sys.exit(f"error: {one_line(error)}")
    except Exception as error:
        error.add_note(REPORT)
        raise


def one_line(error: Exception) -> str:
    """Return the message of an error as one line that any terminal can print."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = " ".join(text.split())
    return text.encode("utf-8", "backslashreplace").decode()


def parse_flags(argv: list[str]) -> list[str]:
    """Parse the flags, and end the program with one line if they are wrong."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"error: {one_line(error)}; --help lists the flags")


def run(
    main: Callable[[list[str]], Any],
    *,
    flags_parser: Callable[[list[str]], list[str]] = parse_flags,
) -> None:
    """Run a program as `absl.app.run` does, with mistakes reported by `one_line_errors`.

    Arguments that are not UTF-8, and arguments that are not flags, are refused.

    Args:
      main: function of the arguments that are not flags.
      flags_parser: function from all arguments to those that are not flags.
    """
    for argument in sys.argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("utf-8", "backslashreplace")
            if sys.getfilesystemencoding() != "utf-8":
                shown = shown.encode("ascii", "backslashreplace").decode()
                sys.exit(f"error: the argument {shown} needs a UTF-8 locale; set LC_ALL=C.UTF-8")
            sys.exit(f"error: the argument {shown} is not UTF-8; set the terminal to UTF-8")

    def guarded(argv: list[str]) -> Any:
        with one_line_errors():
            if len(argv) > 1:
                raise ValueError(f"unexpected argument {argv[1]!r}; write --flag=value")
            return main(argv)

    app.run(guarded, flags_parser=flags_parser)


class _PathParser(flags.ArgumentParser):
    """A path whose leading `~` is the home folder."""

    syntactic_help = "a path; ~ is the home folder"

    def parse(self, argument: str) -> str:
        return os.path.expanduser(argument)

    def flag_type(self) -> str:
        return "path"


def define_path(
    name: str, default: str | None, words: str, values: flags.FlagValues = flags.FLAGS, **options
) -> flags.FlagHolder:
    """Define a flag that holds a path, as `flags.DEFINE_string` does."""
    return flags.DEFINE(
        _PathParser(),
        name,
        default,
        words,
        flag_values=values,
        serializer=flags.ArgumentSerializer(),
        **options,
    )
