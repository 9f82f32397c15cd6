"""Convert dataclasses to plain dictionaries and back, with errors that name the field.

Works on any tree of frozen dataclasses, by their type hints alone, so that the modules that define
a network or a data set do not depend on flags and files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import numbers
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def to_dict(value: Any) -> Any:
    """Return a dataclass as nested dictionaries that JSON can store; tuples become lists.

    Args:
      value: dataclass, or a dictionary, list or plain value that may hold some.

    Raises:
      TypeError: a value that JSON cannot store.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_dict(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): to_dict(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_dict(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"cannot store {value!r} ({type(value).__name__}) as JSON")


def from_dict(cls: type[T], values: Mapping[str, Any], flag: str = "--config") -> T:
    """Make a dataclass from nested dictionaries, such as a ConfigDict or parsed JSON.

    Lists become tuples and whole numbers become floats where the type hints require it.

    Args:
      cls: dataclass to make.
      values: value of each field by its name; fields with defaults may be missing.
      flag: prefix of the fields' names in error messages, such as "--config" or "model.json: base";
        no dot follows one that ends in ": ".

    Raises:
      ValueError: a field is unknown (the message names the nearest known one), missing, of another
        type, or refused by the dataclass itself; the message begins with `flag` and its name.
    """
    if not isinstance(values, Mapping):
        where = flag.removesuffix(": ")
        raise ValueError(f"{where}: expected the fields of {cls.__name__}, found {values!r:.80}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    prefix = f"{flag}." if flag.startswith("--") else ""  # a suggested flag can be typed again
    for key in values:
        if key not in fields:
            near = suggest(str(key)[:80], fields, prefix)
            raise ValueError(f"{_below(flag, key)} is not a setting{near}")
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise ValueError(f"{_below(flag, name)} is missing; it has no default")
    converted = {key: _convert(hints[key], values[key], _below(flag, key)) for key in values}
    try:
        return cls(**converted)
    except ValueError as error:
        raise ValueError(_named(str(error), flag, fields)) from None


def _below(flag: str, name: str) -> str:
    return f"{flag}{name}" if flag.endswith(": ") else f"{flag}.{name}"


def _named(message: str, flag: str, fields: Iterable[str]) -> str:
    """Return a dataclass's own error, `steps=-1 lies outside …`, with the name under `flag`."""
    levels = flag.split(".")
    for first in range(len(levels)):  # "data.size=…" in --config.data
        message = message.removeprefix(".".join([*levels[first:], ""]))
    field = re.match(r"(\w+)[=.:\[]", message)
    if field and field[1] in fields:
        return _below(flag, message)
    return message if flag.startswith("--") else f"{flag.removesuffix(': ')}: {message}"


def suggest(key: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `; did you mean --config.x?` with the nearest known name, after `prefix`."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.0)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def check_choice(field: str, value: Any, choices: Sequence[str]) -> None:
    """Raise a ValueError that names the nearest of `choices` unless `value` is one of them."""
    if value not in choices:
        nearest = difflib.get_close_matches(str(value)[:80], choices, n=1, cutoff=0.0)[0]
        raise ValueError(f"{field}={value!r:.80} is none of {', '.join(choices)}; try {nearest!r}")


def check_range(field: str, value: Any, low: float, high: float) -> None:
    """Raise a ValueError that names the nearest valid value unless low <= value <= high.

    NaN is outside of every range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{field}={value!r:.80} is not a number")
    if not low <= value <= high:
        nearest = high if value > high else low
        raise ValueError(f"{field}={value!r:.80} lies outside [{low}, {high}]; try {nearest}")


def check_whole(field: str, value: Any, low: int, high: int) -> None:
    """Raise a ValueError unless `value` is a whole number with low <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{field}={value!r:.80} is not a whole number")
    check_range(field, value, low, high)


def check_fields(
    config: Any,
    *,
    whole: Mapping[str, tuple[int, int]] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    prefix: str = "",
) -> None:
    """Raise a ValueError that names the first field of a dataclass outside of its range.

    The entries of a field that is a tuple are checked one by one. None is allowed if it is the
    field's default.

    Args:
      config: dataclass to check.
      whole: least and greatest value of each field that is a whole number.
      ranges: least and greatest value of each field that is a number.
      prefix: prefix of the field's name in the message, such as "data.".
    """
    optional = {field.name for field in dataclasses.fields(config) if field.default is None}
    several = {field.name for field in dataclasses.fields(config) if "tuple" in str(field.type)}
    for check, limits in ((check_whole, whole or {}), (check_range, ranges or {})):
        for name, (low, high) in limits.items():
            value = getattr(config, name)
            if isinstance(value, tuple | list) and name in several:
                for index, item in enumerate(value):
                    check(f"{prefix}{name}[{index}]", item, low, high)
            elif value is not None or name not in optional:
                check(f"{prefix}{name}", value, low, high)


def _convert(hint: Any, value: Any, flag: str) -> Any:
    """Return `value` as the type `hint`; raise a ValueError if it cannot be converted."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or (value is None and type(None) in arguments):
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, flag)
    if origin is typing.Literal:
        if value not in arguments:
            names = [str(argument) for argument in arguments]
            near = suggest(str(value)[:80], names)
            raise ValueError(f"{flag}={value!r:.80}: one of {', '.join(names)}{near}")
        return value
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):
            return value
        if isinstance(value, Mapping) or hasattr(value, "items"):
            return from_dict(hint, dict(value.items()), flag)
    elif origin is tuple or hint is tuple:
        if isinstance(value, tuple | list):
            return _convert_tuple(arguments, value, flag)
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # a number of 400 digits
            return float(value)
    elif isinstance(value, origin or hint) and (hint is bool or not isinstance(value, bool)):
        return dict(value) if (origin or hint) is dict else value
    raise ValueError(f"{flag}={value!r:.80}: expected {getattr(hint, '__name__', hint)}")


def _convert_union(options: tuple, value: Any, flag: str) -> Any:
    if value == (None,) and type(None) in options:
        return None  # ml_collections makes a tuple of every value given for a tuple, even of None
    errors = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(option, value, flag)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _convert_tuple(arguments: tuple, values: Any, flag: str) -> tuple:
    if not arguments:
        return tuple(values)
    hints = arguments[:1] * len(values) if arguments[-1] is Ellipsis else arguments
    if len(hints) != len(values):
        raise ValueError(
            f"{flag}={tuple(values)!s:.80}: {len(values)} entries; expected {len(hints)}"
        )
    return tuple(
        _convert(hint, value, f"{flag}[{i}]") for i, (hint, value) in enumerate(zip(hints, values))
    )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one: `{"train": {"steps": 5}}` as `{"train.steps": 5}`."""
    flat = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two dataclasses differ: dotted name -> (old, new value)."""
    old, new = flatten(_fields(old)), flatten(_fields(new))
    return {
        key: (old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    }


def _fields(config: Any) -> dict[str, Any]:
    """Return a dataclass as nested dictionaries, with tuples as they are."""
    return {
        field.name: _fields(value) if dataclasses.is_dataclass(value) else value
        for field in dataclasses.fields(config)
        for value in [getattr(config, field.name)]
    }
