"""Parameter trees as flat dictionaries, and arrays from the host on devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

Params = dict[str, Any]
Shardings = Params | Callable[[Params], Params] | None
"""Tree of shardings, or a function from the tree of shapes to one; None is the default device."""


def flatten(tree: Params) -> dict[str, Any]:
    """Return the leaves of a tree by path, sorted by path: `{"a": {"b": x}}` → `{"a/b": x}`."""
    return dict(sorted(traverse_util.flatten_dict(tree, sep="/").items()))


def unflatten(flat: dict[str, Any]) -> Params:
    """Return the tree of some leaves by path, the inverse of `flatten`."""
    return traverse_util.unflatten_dict(flat, sep="/")


def flat_shardings(shardings: Shardings, shapes: Params) -> dict[str, Any]:
    """Return the sharding of every leaf of `shapes` by path; None for the default device."""
    if shardings is None:
        return dict.fromkeys(flatten(shapes))
    return flatten(shardings(shapes) if callable(shardings) else shardings)


def place(array: np.ndarray, sharding: Any, dtype: Any = None) -> jax.Array:
    """Return an array on its devices, once the copy on the host is not needed any more.

    Waiting keeps at most one tensor in host memory while a large model is read.

    Args:
      array: array on the host.
      sharding: sharding of the result; the default device when None.
      dtype: dtype of the result; the array's when None.
    """
    array = array if dtype is None else array.astype(dtype)
    if sharding is None:
        placed = jax.device_put(array)
    else:
        placed = jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
    return jax.block_until_ready(placed)


def check_floating(dtype: np.dtype, where: str) -> None:
    """Raise a ValueError for whole numbers, which quantised checkpoints have as parameters."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{where} has the dtype {dtype}, expected float32, float16 or bfloat16")


def check_same_names(found: Iterable[str], expected: Iterable[str], where: str) -> None:
    """Raise a ValueError that lists unknown and missing names unless both sets are equal.

    Args:
      found: names in the file.
      expected: names of the parameters.
      where: file, for the error message.
    """
    found, expected = set(found), set(expected)
    problems = []
    if expected - found:
        problems.append(f"missing {_listed(expected - found)}")
    if found - expected:
        problems.append(f"not understood {_listed(found - expected)}")
    if problems:
        raise ValueError(f"{where}: {'; '.join(problems)}")


def _listed(names: set[str], limit: int = 40) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"({len(names)}): " + ", ".join(sorted(names)[:limit]) + more
