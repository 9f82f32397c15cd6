"""Conversion of a file's names and layouts to those of our parameter tree, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from lumiere_jax.checkpoints.safetensors_file import TensorInfo, write_safetensors
from lumiere_jax.checkpoints.tensor_folder import Tensors
from lumiere_jax.checkpoints.tree import (
    Params,
    Shardings,
    check_floating,
    check_same_names,
    flat_shardings,
    flatten,
    place,
    unflatten,
)


class Layout(NamedTuple):
    """Order of the axes of a stored tensor.

    Attributes:
      axes: number of the stored axis for each of our axes; the same order when None.
      leading: True if the file has a leading axis of length 1 that we do not have.
    """

    axes: tuple[int, ...] | None = None
    leading: bool = False

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return our shape of a stored one; None if the number of axes is wrong."""
        if self.leading:
            return stored[1:] if stored[:1] == (1,) else None
        if self.axes is None:
            return stored
        return tuple(stored[i] for i in self.axes) if len(stored) == len(self.axes) else None

    def load(self, array: np.ndarray) -> np.ndarray:
        """Return a stored array in our layout."""
        array = array[0] if self.leading else array
        return array if self.axes is None else array.transpose(self.axes)

    def store(self, array: np.ndarray) -> np.ndarray:
        """Return one of our arrays in the stored layout."""
        array = array[None] if self.leading else array
        return array if self.axes is None else array.transpose(np.argsort(self.axes))


SAME = Layout()
TRANSPOSED = Layout((1, 0))  # (out, in) → (in, out)
CONVOLUTION = Layout((2, 3, 1, 0))  # OIHW → HWIO
ROW = Layout(leading=True)


class Entry(NamedTuple):
    """One parameter: its path in our tree, its name in a file, and the layout there."""

    path: str
    name: str
    layout: Layout


def read_entries(
    source: Tensors,
    entries: Iterable[Entry],
    shapes: Params,
    *,
    shardings: Shardings = None,
    dtype: Any = None,
    ignore: Callable[[str], bool] = lambda name: False,
) -> Params:
    """Read every parameter of `shapes`, one at a time, onto its devices.

    All names and shapes are checked before the first tensor is read.

    Args:
      source: stored tensors.
      entries: one entry for each leaf of `shapes`.
      shapes: tree of the shapes of all parameters.
      shardings: tree of shardings, or function from `shapes` to one.
      dtype: storage dtype; None keeps the file's.
      ignore: function of a tensor's name, True for those that are not part of this network.

    Raises:
      ValueError: tensors that are missing, unknown, of another shape, or of whole numbers (a
        quantised checkpoint); the message lists them.
    """
    entries = list(entries)
    found = [name for name in source.tensors if not ignore(name)]
    check_same_names(found, [entry.name for entry in entries], source.where)
    expected = {path: tuple(leaf.shape) for path, leaf in flatten(shapes).items()}
    check_same_names([entry.path for entry in entries], expected, "name table")
    for path, name, layout in entries:
        stored, kind = source.tensors[name]
        check_floating(kind, f"{source.where}: {name}")
        if layout.shape(stored) != expected[path]:
            raise ValueError(
                f"{source.where}: {name} is {stored}, which does not fit {path} {expected[path]}"
            )
    target = flat_shardings(shardings, shapes)
    return unflatten(
        {
            path: place(layout.load(source.read(name)), target[path], dtype)
            for path, name, layout in entries
        }
    )


def write_entries(
    path: epath.PathLike, entries: Iterable[Entry], params: Params, *, dtype: Any = None
) -> None:
    """Write parameters as one safetensors file, with the names and layouts of `entries`.

    Args:
      path: new file.
      entries: one entry for each parameter.
      params: parameter tree.
      dtype: storage dtype; None keeps each array's.
    """
    flat = flatten(params)
    by_name = {entry.name: entry for entry in entries}

    def info(entry: Entry) -> TensorInfo:
        leaf = flat[entry.path]
        stored = entry.layout.store(np.broadcast_to(np.zeros((), bool), leaf.shape)).shape
        return TensorInfo(stored, np.dtype(dtype or leaf.dtype))

    tensors = {name: info(entry) for name, entry in sorted(by_name.items())}

    def read(name: str) -> np.ndarray:
        entry = by_name[name]
        array = np.asarray(flat[entry.path]).astype(tensors[name].dtype, copy=False)
        return entry.layout.store(array)

    write_safetensors(path, tensors, read, {"format": "pt"})
