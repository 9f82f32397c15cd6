"""Shardings: a table from logical axes of activations to mesh axes, and a rule for storage.

Activations are constrained by the names of their axes (`constrain`). Stored arrays (parameters,
their averages, the optimizer's state) need no names: a rule on shapes alone places them, the same
for every tree (`storage_shardings`). The compiler gathers a parameter where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

LOGICAL_AXES: dict[str, tuple[str, ...]] = {
    "batch": ("replica", "fsdp"),
    "frames": ("context",),
    "height": (),
    "width": (),
    "channels": (),
}
"""Logical axis of an activation -> mesh axes that divide it, outermost first."""

STORAGE_AXES = ("fsdp", "tensor")
SMALL = 2**14  # elements; below this, gathering costs more than the memory it saves
ACCIDENT = 0.02  # largest fraction of parameters that may stay whole because nothing divides them


def constrain(x: Array, names: Sequence[str | None]) -> Array:
    """Return an activation with its sharding constrained by the names of its axes.

    Outside `jax.set_mesh`, and on one device, `x` is returned as it is. An axis whose size its mesh
    axes do not divide stays whole (one frame does not divide over `context`), and so do axes that a
    surrounding `jax.shard_map` has divided already.

    Args:
      x: activation of any shape.
      names: for each dimension a key of `LOGICAL_AXES`, or None for a dimension that stays whole,
        such as ("batch", "frames", None).

    Raises:
      ValueError: the number of names is not that of dimensions, or a name is not in the table.
    """
    if len(names) != x.ndim:
        raise ValueError(f"constrain: {len(names)} names {tuple(names)} for shape {x.shape}")
    unknown = [name for name in names if name is not None and name not in LOGICAL_AXES]
    if unknown:
        raise ValueError(f"constrain: unknown axis {unknown[0]!r}; one of {sorted(LOGICAL_AXES)}")
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    free = {
        axis: size
        for axis, size, kind in zip(mesh.axis_names, mesh.axis_sizes, mesh.axis_types)
        if kind == AxisType.Auto
    }
    spec = [
        _fitting_axes(size, LOGICAL_AXES.get(name, ()), free) for size, name in zip(x.shape, names)
    ]
    return jax.lax.with_sharding_constraint(x, P(*spec)) if free else x


def _fitting_axes(size: int, axes: tuple[str, ...], sizes: dict[str, int]) -> Any:
    """Return the longest prefix of `axes` that divides `size`, without axes of size 1, or None."""
    axes = tuple(axis for axis in axes if sizes.get(axis, 1) > 1)
    while axes and size % math.prod(sizes[axis] for axis in axes):
        axes = axes[:-1]
    return axes or None


def storage_shardings(shapes: Any, mesh: Mesh, *, small: int = SMALL) -> Any:
    """Return the sharding of each stored array: its largest divisible dimension over `fsdp`.

    `tensor` divides that dimension too where it can. Optimizer state has the shapes of the
    parameters, hence the same shardings.

    Args:
      shapes: tree of arrays or `jax.ShapeDtypeStruct`s.
      mesh: mesh to divide the arrays over.
      small: number of elements below which an array is replicated.

    Returns:
      The same tree with a `NamedSharding` for each leaf.

    Raises:
      ValueError: more than 2 % of all elements have no dimension that `fsdp` divides.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    specs, stuck = [], {}
    for path, leaf in leaves:
        size = math.prod(leaf.shape)
        spec = P() if size < small else _storage_spec(leaf.shape, dict(mesh.shape))
        if size >= small and mesh.shape["fsdp"] > 1 and spec == P():
            stuck[jax.tree_util.keystr(path, simple=True, separator="/")] = size
        specs.append(NamedSharding(mesh, spec))
    total = sum(math.prod(leaf.shape) for _, leaf in leaves)
    if sum(stuck.values()) > ACCIDENT * total:
        raise ValueError(
            f"--config.mesh.fsdp={mesh.shape['fsdp']} divides no dimension of "
            f"{max(stuck, key=stuck.get)} and {len(stuck) - 1} more, "
            f"{sum(stuck.values()) / total:.0%} of the parameters; use a power of two"
        )
    return jax.tree_util.tree_unflatten(structure, specs)


def _storage_spec(shape: tuple[int, ...], sizes: dict[str, int]) -> P:
    """Return the spec that divides the largest dimension over STORAGE_AXES, else over `fsdp`."""
    for axes in (STORAGE_AXES, STORAGE_AXES[:1]):
        axes = tuple(axis for axis in axes if sizes[axis] > 1)
        parts = math.prod(sizes[axis] for axis in axes)
        # Of equal dimensions the last: the output channels of a kernel.
        for _, dimension in sorted(((n, i) for i, n in enumerate(shape)), reverse=True):
            if axes and shape[dimension] % parts == 0:
                return P(*[axes if i == dimension else None for i in range(len(shape))])
    return P()


def batch_shardings(batch: dict[str, Any], mesh: Mesh) -> dict[str, NamedSharding]:
    """Return shardings of a batch: rows over (replica, fsdp), frames of "video" over context.

    Args:
      batch: arrays or shapes whose first dimension is the global batch; frames that do not divide
        over context stay whole.
      mesh: mesh to divide the batch over.

    Raises:
      ValueError: the batch is not a multiple of replica × fsdp.
    """
    rows = mesh.shape["replica"] * mesh.shape["fsdp"]
    size = next(iter(batch.values())).shape[0]
    if size % rows:
        raise ValueError(
            f"--config.data.batch_size={size} is not divisible by replica × fsdp = {rows} devices; "
            f"set --config.data.batch_size={-(-size // rows) * rows}"
        )
    names = {"video": ("batch", "frames")}
    sizes = dict(mesh.shape)
    return {
        key: NamedSharding(
            mesh,
            P(
                *[
                    _fitting_axes(n, LOGICAL_AXES[name], sizes)
                    for n, name in zip(leaf.shape, names.get(key, ("batch",)))
                ]
            ),
        )
        for key, leaf in batch.items()
    }


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that keeps the whole array on every device."""
    return NamedSharding(mesh, P())
