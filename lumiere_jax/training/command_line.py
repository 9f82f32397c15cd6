"""Flags of an experiment: `--config=configs/demo.py:base --config.train.steps=100`."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import traceback
import types
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags
from etils import epath
from ml_collections import ConfigDict, config_dict

from lumiere_jax.one_line_errors import EXPECTED, one_line
from lumiere_jax.structure import flatten, from_dict, suggest
from lumiere_jax.training.config import Experiment


def to_config_dict(config: Any) -> ConfigDict:
    """Return a dataclass as a ConfigDict, in which settings that are None are flags too."""
    hints = typing.get_type_hints(type(config))
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = to_config_dict(value)
        elif value is None:
            value = config_dict.placeholder(_flag_type(hints[field.name]))
        values[field.name] = value
    return ConfigDict(values)


def _flag_type(hint: Any) -> type:
    """Return the type of a flag whose setting is None: `object` if it has several types."""
    options = [option for option in typing.get_args(hint) if option is not types.NoneType]
    kind = options[0] if len(options) == 1 else object
    if typing.get_origin(kind) is typing.Literal:
        kind = type(typing.get_args(kind)[0])
    kind = typing.get_origin(kind) or kind
    return kind if kind in (int, float, bool, str, tuple) else object


def to_experiment(config: ConfigDict) -> Experiment:
    """Return the experiment of a ConfigDict.

    Args:
      config: settings, after the flags have changed them. A `~` at the beginning of a path is the
        home folder.

    Raises:
      ValueError: a setting does not exist, has the wrong type, or is refused by its dataclass.
    """
    return from_dict(Experiment, _expand(config.to_dict()))


def _expand(value: Any, name: str = "") -> Any:
    """Return settings with the home folder in place of `~`."""
    if isinstance(value, dict):
        return {key: _expand(item, key) for key, item in value.items()}
    if name in ("tokenizer", "start_from") and isinstance(value, str):
        return os.path.expanduser(value)
    if name == "source" and isinstance(value, str):
        kind, colon, folder = value.partition(":")
        if kind in ("records", "images"):
            return kind + colon + os.path.expanduser(folder)
    return value


def with_home(argv: Sequence[str]) -> list[str]:
    """Return arguments with the home folder in place of `~` in `--config=~/x.py:base`."""
    match = (re.match(r"(--?config=)(.*)", argument, re.DOTALL) for argument in argv)
    return [
        found[1] + os.path.expanduser(found[2]) if found else argument
        for found, argument in zip(match, argv)
    ]


def load_config(value: str) -> ConfigDict:
    """Call the function `get_config` of a configuration file.

    Args:
      value: file and argument, such as `configs/demo.py:base` for `get_config("base")`.

    Raises:
      FileNotFoundError: no such file.
      Exception: any exception of the file.
    """
    name, _, argument = value.partition(":")
    path = epath.Path(name)
    if not path.exists():
        raise FileNotFoundError(f"--config={name}: no such file; try --config=configs/demo.py:base")
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)  # the file may read others beside it
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    if not hasattr(module, "get_config"):
        raise ValueError(f"--config={name} has no function get_config; see configs/demo.py")
    return module.get_config(argument) if argument else module.get_config()


def explain_flags(argv: Sequence[str], error: Exception) -> str | None:
    """Return one line about the mistake in the `--config…` flags, with the nearest valid flag.

    Args:
      argv: arguments of the program.
      error: exception that their parsing raised.

    Returns:
      The line, or None if the arguments and the file are valid: a fault of this program.
    """
    if isinstance(error, flags.UnrecognizedFlagError):
        return str(error).splitlines()[0]
    file = _config_file(argv)
    if file is None:
        return "--config is missing; try --config=configs/demo.py:base"
    try:
        known = flatten(load_config(file).to_dict())
    except Exception as wrong:
        return _explain_file(file, wrong)
    for argument in argv:
        match = re.match(r"--?config\.([\w.]+)", argument)
        if match and match[1] not in known:
            near = suggest(match[1], known, "--config.")
            return f"--config.{match[1]} is not a setting{near}"
    # absl and ml_collections raise these types for a value that they refuse.
    return one_line(error) if isinstance(error, ValueError | TypeError | flags.Error) else None


def _config_file(argv: Sequence[str]) -> str | None:
    files = [match[1] for argument in argv if (match := re.match(r"--?config=(.*)", argument))]
    files += [value for flag, value in itertools.pairwise(argv) if flag in ("--config", "-config")]
    return files[-1] if files else None


def _explain_file(file: str, error: Exception) -> str:
    """Return the error of a configuration file, with its line unless the file raised it itself."""
    name = file.partition(":")[0]
    if isinstance(error, SyntaxError):
        return f"{name}: line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == name]
    expected = isinstance(error, EXPECTED)
    if not lines or (expected and frames[-1].filename == name):
        return one_line(error) if expected else f"--config={file}: {one_line(error)}"
    kind = "" if expected else f"{type(error).__name__}: "
    return f"{name}: line {lines[-1]}: {kind}{one_line(error)}"
