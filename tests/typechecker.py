"""The type checker of the tests: shapes and dtypes of arrays, and nothing else.

jaxtyping's import hook (`tests/conftest.py`) passes it every function of the library. Annotations
without an array are left out: tests pass wrong values on purpose, to read the error message. NumPy
arrays are accepted wherever JAX's are, as JAX itself does.
"""

from __future__ import annotations

import functools
import operator
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from beartype import beartype
from jaxtyping import AbstractArray

ARRAYS = jax.Array | np.ndarray


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the array annotations of a function whenever it is called.

    Args:
      function: function of the library.
    """
    module = sys.modules.get(function.__module__)
    scope = {} if module is None else vars(module)
    function.__annotations__ = {
        name: _read(hint, scope) for name, hint in function.__annotations__.items()
    }
    return beartype(function)


def _read(hint: Any, scope: dict[str, Any]) -> Any:
    """Return an annotation that has an array type, of either kind of array, or else Any."""
    if isinstance(hint, str):
        try:
            hint = eval(hint, scope)
        except Exception:  # a name that is imported for type checkers only
            return Any
    return _with_numpy(hint) if _has_array(hint) else Any


def _has_array(hint: Any) -> bool:
    return _is_array(hint) or any(map(_has_array, typing.get_args(hint)))


def _is_array(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, AbstractArray)


def _with_numpy(hint: Any) -> Any:
    if _is_array(hint):
        return hint.dtype[ARRAYS, hint.dim_str] if hint.array_type is jax.Array else hint
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, map(_with_numpy, arguments))
    if origin in (tuple, list, dict):
        return origin[tuple(map(_with_numpy, arguments))]
    return hint if origin is None else Any
