"""Where arrays are stored: a rule on global shapes for parameters, and rows for batches.

Stored arrays (parameters, their averages, the optimizer's state) are divided over the axes `fsdp`
and `context` together, small ones are whole on every device. A rule on shapes alone places them,
the same for every tree. A network's blocks gather their own parameters when they run (`Layout`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lumiere_jax.parallel.mesh import BATCH_AXES

STORAGE_AXES = ("fsdp", "context")
SMALL = 2**14  # elements; below this, gathering costs more than the memory it saves
ACCIDENT = 0.02  # largest fraction of parameters that may stay whole because nothing divides them


@dataclasses.dataclass(frozen=True)
class Division:
    """Division of one stored array over devices; by default it is whole on each of them.

    Attributes:
      dimension: dimension that is divided.
      axes: mesh axes that divide it, outermost first; none for a whole array.
      parts: number of devices along these axes.
    """

    dimension: int = 0
    axes: tuple[str, ...] = ()
    parts: int = 1

    def spec(self, rank: int) -> P:
        """Return the division as a spec of `jax.shard_map`, for an array of some rank."""
        if self.parts == 1:
            return P()
        axes = self.axes[0] if len(self.axes) == 1 else self.axes
        return P(*[axes if i == self.dimension else None for i in range(rank)])


@dataclasses.dataclass(frozen=True)
class Layout:
    """Storage of a network's parameters, and the division of its frames; hashable.

    Attributes:
      divisions: '/'-joined path and division of each parameter that is divided.
      rows: mesh axis that divides the height of the frames; whole frames when None.
      gradient_dtype: dtype in which gradients of divided parameters are summed.
    """

    divisions: tuple[tuple[str, Division], ...] = ()
    rows: str | None = None
    gradient_dtype: Literal["float32", "bfloat16"] = "float32"

    @functools.cached_property
    def by_path(self) -> dict[str, Division]:
        """Return the divisions by path."""
        return dict(self.divisions)

    def specs(self, params: Any) -> Any:
        """Return the spec of each parameter, for `jax.shard_map`.

        Args:
          params: parameter tree of arrays or shapes.
        """
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: self.by_path.get(_name(path), Division()).spec(leaf.ndim), params
        )


def layout_of(
    divisions: Any, *, rows: str | None = None, gradient_dtype: Any = "float32"
) -> Layout:
    """Return the layout of a network from the divisions of its parameters.

    Args:
      divisions: parameter tree with a `Division` for each leaf, see `divisions_of`.
      rows: mesh axis that divides the height of the frames; whole frames when None.
      gradient_dtype: dtype in which gradients of divided parameters are summed.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(divisions)
    divided = tuple((_name(path), division) for path, division in leaves if division.parts > 1)
    return Layout(divided, rows, gradient_dtype)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def divisions_of(tree: Any) -> Any:
    """Return the `Division` of each array of a tree, read from its sharding.

    Args:
      tree: tree of arrays or `jax.ShapeDtypeStruct`s with shardings.
    """
    return jax.tree.map(lambda leaf: _division_of(leaf.sharding), tree)


def _division_of(sharding: Any) -> Division:
    for dimension, axes in enumerate(getattr(sharding, "spec", ())):
        if axes is not None:
            axes = (axes,) if isinstance(axes, str) else tuple(axes)
            parts = math.prod(sharding.mesh.shape[axis] for axis in axes)
            return Division(dimension, axes, parts) if parts > 1 else Division()
    return Division()


def storage_shardings(shapes: Any, mesh: Mesh, *, small: int = SMALL) -> Any:
    """Return the sharding of each stored array: its largest divisible dimension is divided.

    It is divided over `fsdp` and `context` together, or over one of them if it does not divide over
    both. Optimizer state with the shapes of the parameters has the same shardings.

    Args:
      shapes: tree of arrays or `jax.ShapeDtypeStruct`s.
      mesh: mesh to divide the arrays over.
      small: number of elements below which an array is replicated.

    Returns:
      The same tree with a `NamedSharding` for each leaf.

    Raises:
      ValueError: more than 2 % of all elements have no dimension that the devices divide.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    divided = {axis: mesh.shape[axis] for axis in STORAGE_AXES if mesh.shape[axis] > 1}
    divisions, stuck = [], {}
    for path, leaf in leaves:
        size = math.prod(leaf.shape)
        division = Division() if size < small else storage_division(leaf.shape, divided)
        if size >= small and divided and division.parts == 1:
            stuck[_name(path)] = size
        divisions.append(division)
    total = sum(math.prod(leaf.shape) for _, leaf in leaves)
    if sum(stuck.values()) > ACCIDENT * total:
        flags = " ".join(f"--config.mesh.{axis}={size}" for axis, size in divided.items())
        raise ValueError(
            f"{flags} divides no dimension of "
            f"{max(stuck, key=stuck.get)} and {len(stuck) - 1} more, "
            f"{sum(stuck.values()) / total:.0%} of the parameters; use a power of two"
        )
    shardings = [
        NamedSharding(mesh, division.spec(len(leaf.shape)))
        for division, (_, leaf) in zip(divisions, leaves)
    ]
    return jax.tree_util.tree_unflatten(structure, shardings)


def storage_division(shape: tuple[int, ...], sizes: dict[str, int]) -> Division:
    """Return the division of the largest dimension that all axes divide, or else one of them.

    Args:
      shape: global shape of the array.
      sizes: number of devices along each mesh axis that may divide it.
    """
    for axes in (tuple(sizes), *((axis,) for axis in sizes)):
        parts = math.prod(sizes[axis] for axis in axes)
        # Of equal dimensions the last: the output channels of a kernel.
        for size, dimension in sorted(((n, i) for i, n in enumerate(shape)), reverse=True):
            if axes and size % parts == 0:
                return Division(dimension, axes, parts)
    return Division()


def batch_shardings(batch: dict[str, Any], mesh: Mesh) -> dict[str, NamedSharding]:
    """Return shardings of a batch: its rows are divided over `replica` and `fsdp`.

    Args:
      batch: arrays or shapes whose first dimension is the global batch.
      mesh: mesh to divide the batch over.

    Raises:
      ValueError: the batch is not a multiple of replica × fsdp.
    """
    rows = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    size = next(iter(batch.values())).shape[0]
    if size % rows:
        raise ValueError(
            f"--config.data.batch_size={size} is not divisible by replica × fsdp = {rows} devices; "
            f"set --config.data.batch_size={-(-size // rows) * rows}"
        )
    return dict.fromkeys(batch, NamedSharding(mesh, P(BATCH_AXES)))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that keeps the whole array on every device."""
    return NamedSharding(mesh, P())
