"""Rows of a global batch: which of them a device has, and random numbers that belong to a row.

What is drawn for a row depends on its number in the global batch and not on the devices, so that
another mesh draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Key

from lumiere_jax.parallel.collectives import parts_along
from lumiere_jax.parallel.mesh import BATCH_AXES


class Rows(NamedTuple):
    """Rows of the global batch that an array holds.

    Attributes:
      first: number of the first row.
      count: number of rows here.
      total: number of rows of the global batch.
    """

    first: Any
    count: int
    total: int

    def of(self, drawn: Array) -> Array:
        """Return these rows of an array that was drawn for the global batch, [total, ...]."""
        if self.count == self.total:
            return drawn
        return lax.dynamic_slice_in_dim(drawn, self.first, self.count)

    def normal(
        self, key: Key[Array, ""], shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "rows ..."]:
        """Draw standard normal numbers for each row, from a key of its own.

        Args:
          key: random key of the global batch.
          shape: shape of a row.
          dtype: dtype of the numbers.
        """
        keys = self.keys(key)
        return jax.vmap(lambda key: jax.random.normal(key, shape, dtype))(keys)

    def keys(self, key: Key[Array, ""]) -> Key[Array, "rows"]:
        """Return a key for each row: `fold_in(key, number of the row)`."""
        numbers = self.first + jnp.arange(self.count)
        return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def all_rows(count: int) -> Rows:
    """Return the rows of a batch that is whole."""
    return Rows(0, count, count)


def device_rows(count: int) -> Rows:
    """Return the rows that this device has, of a batch divided over the mesh's batch axes.

    Args:
      count: number of rows of each device.
    """
    return Rows(lax.axis_index(BATCH_AXES) * count, count, count * parts_along(BATCH_AXES))


def map_rows(function: Callable[..., Any], mesh: Mesh, whole: Any) -> Callable[..., Any]:
    """Return function(whole, rows) that runs on all devices, each with its rows of a batch.

    A batch that does not divide is filled up with copies of its last row, and the surplus is
    dropped. The whole is what every device reads: parameters, each divided as it is stored.

    Args:
      function: (whole, rows) -> tree of arrays [rows, ...]; runs inside `jax.shard_map`.
      mesh: mesh of the devices.
      whole: specs of the first argument.
    """
    devices = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    mapped = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(whole, P(BATCH_AXES)),
        out_specs=P(BATCH_AXES),
        check_vma=False,
    )

    def run(whole: Any, rows: Any) -> Any:
        count = jax.tree.leaves(rows)[0].shape[0]
        surplus = -count % devices
        filled = jax.tree.map(lambda leaf: _fill(leaf, surplus), rows)
        return jax.tree.map(lambda leaf: leaf[:count], mapped(whole, filled))

    return run


def _fill(leaf: Array, surplus: int) -> Array:
    if not surplus:
        return leaf
    return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], surplus, axis=0)])
