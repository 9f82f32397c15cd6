"""Collectives, each a call in our code; all run inside `jax.shard_map` over every mesh axis.

The differentiated function of a device is its *local* loss. What a device computes is a summand of
the whole: gradients are summed over all axes after differentiation (`sum_gradients`). Inside the
network, communication has its exact transpose; around it, all devices along `context` compute the
same, so that its output's cotangent is cut and not summed (`whole_rows`). `shard_map` must have
`check_vma=False`: with the check, JAX inserts sums of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from lumiere_jax.parallel.mesh import AXES, BATCH_AXES
from lumiere_jax.parallel.sharding import Division


def parts_along(axes: Sequence[str]) -> int:
    """Return the number of devices along mesh axes; inside `jax.shard_map`."""
    return int(lax.axis_size(tuple(axes))) if axes else 1


def divided_axes(axes: Sequence[str]) -> tuple[str, ...]:
    """Return those of the mesh axes that have more than one device."""
    return tuple(axis for axis in axes if lax.axis_size(axis) > 1)


def gather_stored(
    x: Array, division: Division, dtype: Any = None, gradient_dtype: Any = jnp.float32
) -> Array:
    """Return the whole of a stored array; the gradient's transpose sums and divides it again.

    Args:
      x: this device's part.
      division: division of the whole array.
      dtype: dtype to move it in, usually the compute dtype; its own when None.
      gradient_dtype: dtype in which the gradient's parts are summed; float64 where the gradient is.
    """
    if division.parts == 1:
        return x
    stored, dtype = x.dtype, x.dtype if dtype is None else dtype
    options = {"axis_name": division.axes, "tiled": True}

    @jax.custom_vjp
    def gather(x):
        return lax.all_gather(x.astype(dtype), axis=division.dimension, **options)

    def forward(x):
        return gather(x), None

    def backward(_, gradient):
        summed = jnp.float64 if gradient.dtype == jnp.float64 else gradient_dtype
        parts = lax.psum_scatter(
            gradient.astype(summed), scatter_dimension=division.dimension, **options
        )
        return (parts.astype(stored),)

    gather.defvjp(forward, backward)
    return gather(x)


def sum_gradients(gradients: Any, divisions: Any) -> Any:
    """Return gradients summed over all devices; those of stored parts stay divided.

    The parts of divided arrays were summed over the axes that divide them when `gather_stored` was
    differentiated. What is left is `replica` for those, and one flat sum of all whole arrays.

    Args:
      gradients: tree of this device's gradients.
      divisions: the same tree of `Division`s.
    """
    leaves, structure = jax.tree.flatten(gradients)
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, division in enumerate(jax.tree.leaves(divisions)):
        left = divided_axes([axis for axis in AXES if axis not in division.axes])
        groups.setdefault(left, []).append(index)
    for axes, members in groups.items():
        if axes:
            flat, restore = ravel_pytree([leaves[i] for i in members])
            for index, leaf in zip(members, restore(lax.psum(flat, axes))):
                leaves[index] = leaf
    return jax.tree.unflatten(structure, leaves)


def sum_squares(tree: Any, divisions: Any) -> Float[Array, ""]:
    """Return the sum of squares of all elements of a tree, some of which are divided.

    Args:
      tree: tree of whole arrays and of parts.
      divisions: the same tree of `Division`s.
    """
    sums: dict[tuple[str, ...], Array] = {}
    for leaf, division in zip(jax.tree.leaves(tree), jax.tree.leaves(divisions)):
        wide = leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))
        sums[division.axes] = sums.get(division.axes, 0) + jnp.sum(wide * wide)
    return sum(lax.psum(value, axes) if axes else value for axes, value in sums.items())


def mean_over_batch(tree: Any) -> Any:
    """Return numbers averaged over the devices that have different rows of the batch.

    Args:
      tree: tree of scalars.
    """
    axes = divided_axes(BATCH_AXES)
    if not axes:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    dtype = jnp.promote_types(jnp.result_type(*leaves), jnp.float32)
    values = lax.pmean(jnp.stack([leaf.astype(dtype) for leaf in leaves]), axes)
    return jax.tree.unflatten(
        structure, [value.astype(leaf.dtype) for value, leaf in zip(values, leaves)]
    )


def own_rows(x: Array, axis: str | tuple[str, ...], dimension: int) -> Array:
    """Return this device's part of an array that all devices along a mesh axis have whole.

    Args:
      x: whole array.
      axis: mesh axis, or axes, outermost first.
      dimension: dimension to divide.
    """
    size = x.shape[dimension] // lax.axis_size(axis)
    return lax.dynamic_slice_in_dim(x, lax.axis_index(axis) * size, size, dimension)


def whole_rows(x: Array, axis: str, dimension: int) -> Array:
    """Return the whole array, for what all devices along a mesh axis then compute alike.

    The transpose takes this device's part of the cotangent: every device has the whole, equal one.

    Args:
      x: this device's part.
      axis: mesh axis.
      dimension: dimension that is divided.
    """

    @jax.custom_vjp
    def gather(x):
        return lax.all_gather(x, axis, axis=dimension, tiled=True)

    def backward(_, cotangent):
        return (own_rows(cotangent, axis, dimension),)

    gather.defvjp(lambda x: (gather(x), None), backward)
    return gather(x)


def with_neighbours(x: Array, axis: str, dimension: int, count: int) -> Array:
    """Return this device's rows between its neighbours' nearest ones; zeros past either end.

    Args:
      x: this device's rows.
      axis: mesh axis that the rows are divided over, in order.
      dimension: dimension of the rows.
      count: rows to take from each neighbour.

    Raises:
      ValueError: a neighbour has fewer rows.
    """
    if not count:
        return x
    if count > x.shape[dimension]:
        raise ValueError(
            f"a kernel reaches {count} rows beyond the {x.shape[dimension]} that each device along "
            f"{axis} has: lower --config.mesh.{axis}"
        )
    devices = lax.axis_size(axis)
    down = [(i, i + 1) for i in range(devices - 1)]
    up = [(i + 1, i) for i in range(devices - 1)]
    size = x.shape[dimension]
    last = lax.slice_in_dim(x, size - count, size, axis=dimension)
    first = lax.slice_in_dim(x, 0, count, axis=dimension)
    above, below = lax.ppermute(last, axis, down), lax.ppermute(first, axis, up)
    return jnp.concatenate([above, x, below], dimension)
