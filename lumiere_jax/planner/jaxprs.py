"""Walks through jaxprs that several counts share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jax.extend import core


def inner_jaxprs(equation: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """Yield the jaxprs inside an equation.

    Args:
      equation: equation of a jaxpr.
    """
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def size_of(variable: Any) -> int:
    """Return the bytes of a variable's array; 0 for one that has no elements' dtype.

    Args:
      variable: variable or literal of a jaxpr.
    """
    dtype = getattr(variable.aval, "dtype", None)
    if dtype is None:
        return 0
    return math.prod(variable.aval.shape) * dtype.itemsize


def tiled_size_of(variable: Any) -> int:
    """Return the bytes of a variable's array in a TPU's memory, which stores tiles of 8×128.

    XLA lets a video's channels or its frames take the 128 places, whichever fills them better; few
    channels of few frames fill neither.

    Args:
      variable: variable of a jaxpr.
    """
    size, shape = size_of(variable), getattr(variable.aval, "shape", ())
    if len(shape) < 4 or not size:
        return size
    frames, channels = math.prod(shape[:-3]), shape[-1]
    return math.ceil(
        size
        * min(
            _padding(channels, 128) * _padding(frames, 8),
            _padding(frames, 128) * _padding(channels, 8),
        )
    )


def _padding(count: int, places: int) -> float:
    """Return the ratio by which a dimension grows when it is filled up to whole tiles."""
    return math.ceil(count / places) * places / count
