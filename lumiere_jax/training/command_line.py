"""Experiments as flags: `--config=configs/demo.py:base --config.train.steps=100`."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags
from etils import epath
from ml_collections import ConfigDict, config_dict

from lumiere_jax.structure import flatten, from_dict, suggest
from lumiere_jax.training.config import Experiment


def to_config_dict(config: Any) -> ConfigDict:
    """A dataclass as a ConfigDict in which every setting, also one that is None, can be a flag."""
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
    """How to read a setting that is None: as its one other type, or as whatever it looks like."""
    options = [option for option in typing.get_args(hint) if option is not types.NoneType]
    kind = options[0] if len(options) == 1 else object
    if typing.get_origin(kind) is typing.Literal:
        kind = type(typing.get_args(kind)[0])
    kind = typing.get_origin(kind) or kind
    return kind if kind in (int, float, bool, str, tuple) else object


def to_experiment(config: ConfigDict) -> Experiment:
    """The experiment of a ConfigDict, after the flags have changed it.

    Raises:
      ValueError: a setting that does not exist, or has the wrong type, or breaks a dataclass's own
        rules.
    """
    return from_dict(Experiment, config.to_dict())


def load_config(value: str) -> ConfigDict:
    """`configs/demo.py:base` -> what `get_config("base")` in that file returns.

    Raises:
      FileNotFoundError: no such file.
    """
    name, _, argument = value.partition(":")
    path = epath.Path(name)
    if not path.exists():
        raise FileNotFoundError(f"--config={name}: no such file; try --config=configs/demo.py:base")
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)  # for what stands beside it
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module.get_config(argument) if argument else module.get_config()


def explain_flags(argv: Sequence[str], error: Exception) -> str:
    """One line on what is wrong with the `--config…` flags, with the nearest that exists."""
    if isinstance(error, flags.UnrecognizedFlagError):
        return str(error).splitlines()[0]
    files = [match[1] for argument in argv if (match := re.match(r"--?config=(.*)", argument))]
    if not files:
        return "--config is missing; try --config=configs/demo.py:base"
    try:
        known = flatten(load_config(files[-1]).to_dict())
    except (OSError, ValueError, KeyError) as wrong:
        return str(wrong)
    for argument in argv:
        match = re.match(r"--?config\.([\w.]+)", argument)
        if match and match[1] not in known:
            near = suggest(match[1], known, "--config.")
            return f"--config.{match[1]} is no setting{near}"
    return str(error).splitlines()[0]
