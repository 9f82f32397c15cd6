"""Frozen configuration dataclasses as plain JSON values, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from lumiere_jax.structure import from_dict

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


def from_json(kind: type[T], value: Mapping[str, Any], where: str = "") -> T:
    """The dataclass `kind` with the fields of a JSON object; fields not given keep their defaults.

    Args:
      kind: a dataclass; its fields may be plain values, tuples, other dataclasses, or optional.
      value: what `to_json` made.
      where: file and field, for error messages.

    Raises:
      ValueError: an unknown or missing field, or a value of another type, by name.
    """
    where = where or kind.__name__
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected the fields of {kind.__name__}, found {value!r}")
    return from_dict(kind, value, where)
