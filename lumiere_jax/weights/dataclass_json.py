"""Frozen configuration dataclasses as plain JSON values, and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Dataclasses become objects and tuples become lists; plain values stay.

    Raises:
      TypeError: a value that JSON does not know.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_json(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"cannot store {value!r} ({type(value).__name__}) as JSON")


def from_json(kind: type[T], value: dict[str, Any], where: str = "") -> T:
    """The dataclass `kind` with the fields of a JSON object; fields not given keep their defaults.

    Args:
      kind: a dataclass; its fields may be plain values, tuples, other dataclasses, or optional.
      value: what `to_json` made.
      where: file and field, for error messages.

    Raises:
      ValueError: an unknown or missing field, or a value of another type, by name.
    """
    where = where or kind.__name__
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected the fields of {kind.__name__}, found {value!r}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise ValueError(f"{where}: {kind.__name__} has no field {', '.join(unknown)}")
    missing = [name for name, field in fields.items() if name not in value and _required(field)]
    if missing:
        raise ValueError(f"{where}: {kind.__name__} needs {', '.join(missing)}")
    found = {name: _decode(hints[name], value[name], f"{where}.{name}") for name in value}
    return kind(**found)


def _required(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _decode(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(arguments, value, where)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, where)
    if origin is tuple or hint is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where}: expected a list, found {value!r}")
        kinds = arguments or (Any, ...)
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(kinds) != len(value):
            raise ValueError(f"{where}: expected {len(kinds)} values, found {value!r}")
        return tuple(_decode(kind, item, where) for kind, item in zip(kinds, value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is typing.Literal and value not in arguments:
        raise ValueError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
    if hint in (int, float, str, bool) and type(value) is not hint:
        raise ValueError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value


def _decode_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None:
        if type(None) in kinds:
            return None
        raise ValueError(f"{where}: must not be null")
    errors = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _decode(kind, value, where)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(errors[0])
