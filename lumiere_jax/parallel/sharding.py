"""Which array goes where: one table from logical axes to mesh axes, and a rule for storage.

Activations are pinned by the names of their axes (`constrain`). Stored arrays (parameters, their
averages, the optimizer's state) need no names: a rule on shapes alone places them, so the same
rule serves every tree (`storage_shardings`). The compiler gathers a parameter where it is used.
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
    "images": ("replica", "fsdp", "context"),  # batch and frames folded into one axis
    "height": (),
    "width": (),
    "pixels": (),  # height and width folded into one axis
    "channels": (),
    "tokens": (),
    "heads": ("tensor",),
    "hidden": ("tensor",),  # the wide axis inside a feed-forward block
}
"""Logical axis of an activation -> mesh axes that divide it, outermost first."""

STORAGE_AXES = ("fsdp", "tensor")
SMALL = 2**14  # elements; below this, gathering costs more than the memory it saves
ACCIDENT = 0.02  # largest fraction of parameters that may stay whole for want of a divisor


def constrain(x: Array, names: Sequence[str | None]) -> Array:
    """Pins the sharding of an activation by its logical axes, e.g. ("batch", "frames", ...).

    Outside `jax.set_mesh`, and on one device, `x` comes back as it is. An axis whose size its mesh
    axes do not divide stays whole (one frame cannot be shared out over `context`), and so do axes
    that a surrounding `jax.shard_map` already holds.

    Args:
      x: any array.
      names: for each dimension a key of `LOGICAL_AXES`, or None for a dimension left whole.

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
    """The longest prefix of `axes` that divides `size`, without the axes of size 1; else None."""
    axes = tuple(axis for axis in axes if sizes.get(axis, 1) > 1)
    while axes and size % math.prod(sizes[axis] for axis in axes):
        axes = axes[:-1]
    return axes or None


def storage_shardings(shapes: Any, mesh: Mesh, *, small: int = SMALL) -> Any:
    """Where each stored array lives: its largest divisible dimension is divided over `fsdp`.

    `tensor` divides it too where it fits. Arrays of fewer than `small` elements are replicated.
    Optimizer state takes the same shapes as the parameters, hence the same places.

    Args:
      shapes: a tree of anything with `.shape` (arrays or `jax.ShapeDtypeStruct`s).

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
    """Divides the largest dimension that all of STORAGE_AXES divide, else that `fsdp` divides."""
    for axes in (STORAGE_AXES, STORAGE_AXES[:1]):
        axes = tuple(axis for axis in axes if sizes[axis] > 1)
        parts = math.prod(sizes[axis] for axis in axes)
        # The last of equal dimensions: the output channels of a kernel.
        for _, dimension in sorted(((n, i) for i, n in enumerate(shape)), reverse=True):
            if axes and shape[dimension] % parts == 0:
                return P(*[axes if i == dimension else None for i in range(len(shape))])
    return P()


def batch_shardings(batch: dict[str, Any], mesh: Mesh) -> dict[str, NamedSharding]:
    """Rows of a batch over (replica, fsdp), and the frames of "video" over context if they fit.

    Args:
      batch: arrays or shapes whose first dimension is the global batch.

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
    """The whole array on every device."""
    return NamedSharding(mesh, P())
