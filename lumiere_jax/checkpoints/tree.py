"""Parameter trees as flat dictionaries, and host arrays as device arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util

Params = dict[str, Any]
Shardings = Params | Callable[[Params], Params] | None
"""Tree of shardings, or a function from the tree of shapes to one; None is the default device."""


def flatten(tree: Params) -> dict[str, Any]:
    """`{"a": {"b": x}}` → `{"a/b": x}`, in order of the names."""
    return dict(sorted(traverse_util.flatten_dict(tree, sep="/").items()))


def unflatten(flat: dict[str, Any]) -> Params:
    """The inverse of `flatten`."""
    return traverse_util.unflatten_dict(flat, sep="/")


def flat_shardings(shardings: Shardings, shapes: Params) -> dict[str, Any]:
    """Path → sharding (or None) for every leaf of `shapes`."""
    if shardings is None:
        return dict.fromkeys(flatten(shapes))
    return flatten(shardings(shapes) if callable(shardings) else shardings)


def place(array: np.ndarray, sharding: Any, dtype: Any = None) -> jax.Array:
    """A host array on its devices; returns when the host copy is no longer needed.

    Waiting keeps at most one tensor in host memory while a large model streams in.
    """
    array = array if dtype is None else array.astype(dtype)
    if sharding is None:
        placed = jax.device_put(array)
    else:
        placed = jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
    return jax.block_until_ready(placed)


def check_floating(dtype: np.dtype, where: str) -> None:
    """Raise a ValueError for parameters of whole numbers, as quantised checkpoints have them."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{where} has the dtype {dtype}, expected float32, float16 or bfloat16")


def check_same_names(found: Iterable[str], expected: Iterable[str], where: str) -> None:
    """Every tensor is accounted for.

    Raises:
      ValueError: names in `where` that nothing reads, or names that are missing there.
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


def refuse_full(folder: epath.PathLike) -> None:
    """Raise a FileExistsError unless a folder to be written is empty or not there yet."""
    folder = epath.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty; choose another --output or remove it")
