"""Adafactor whose gradients are this device's parts of divided arrays.

The means over rows, columns and whole arrays are taken over all parts. Update and state are those
of `optax.scale_by_factored_rms` and `optax.clip_by_block_rms` on the whole arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from lumiere_jax.parallel.sharding import Division

# The constants of the paper, and optax's defaults.
DECAY = 0.8  # second moments at update t decay by 1 - t^-0.8
SMALLEST = 128  # a matrix with a smaller side keeps its whole second moment
EPSILON = 1e-30  # added to squares of gradients
LARGEST_RMS = 1.0  # largest root mean square of the update of one array


def scale_by_adafactor(divisions: Any = None) -> optax.GradientTransformation:
    """Return the transformation that divides a gradient by the root of its second moment.

    The second moment of a large matrix is the product of its rows' and columns' means; the update
    of each array is then clipped to a root mean square of 1. `init` takes whole arrays. `update` is
    called inside `jax.shard_map` with gradients and parameters divided as `divisions` says. In its
    state, means of rows and columns are whole, and second moments are divided as their parameters.

    Args:
      divisions: tree of `Division`s like the parameters; None if every array is whole.
    """
    if divisions is None:
        return optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(LARGEST_RMS))
    places = jax.tree.leaves(divisions)
    return optax.chain(_scale_by_factored_rms(places), _clip_by_block_rms(places))


class _Factors(NamedTuple):
    """Dimensions of one array that its second moment is factored over.

    Attributes:
      shape: shape of the whole array.
      row: dimension of `v_row`, the second largest, whose entries are means over `column`.
      column: dimension of `v_col`, the largest, whose entries are means over `row`.
    """

    shape: tuple[int, ...]
    row: int
    column: int


def _scale_by_factored_rms(divisions: list[Division]) -> optax.GradientTransformation:
    """Return the scaling by the second moment, for parts of arrays in the order of their leaves."""

    def update(updates, state, params=None):
        gradients, structure = jax.tree.flatten(updates)
        v_row, v_col, v = map(jax.tree.leaves, (state.v_row, state.v_col, state.v))
        factors = [_factors_of(*pair) for pair in zip(gradients, divisions)]
        means = _row_and_column_means(gradients, divisions, factors)
        decay = 1 - (state.count + 1).astype(jnp.float32) ** -DECAY
        for i, gradient in enumerate(gradients):
            if factors[i] is None:
                v[i] = _blend(decay, v[i], gradient**2 + EPSILON)
                gradients[i] = gradient * v[i] ** -0.5
            else:
                row, column = means[i]
                v_row[i], v_col[i] = _blend(decay, v_row[i], row), _blend(decay, v_col[i], column)
                gradients[i] = _divide(gradient, divisions[i], factors[i], v_row[i], v_col[i])
        trees = [jax.tree.unflatten(structure, leaves) for leaves in (gradients, v_row, v_col, v)]
        return trees[0], optax.FactoredState(optax.safe_increment(state.count), *trees[1:])

    return optax.GradientTransformation(optax.scale_by_factored_rms().init, update)


def _clip_by_block_rms(divisions: list[Division]) -> optax.GradientTransformation:
    """Return the clipping of each array's update, for parts of arrays as above."""

    def update(updates, state, params=None):
        leaves, structure = jax.tree.flatten(updates)
        squares = _sum_parts([jnp.sum(leaf**2) for leaf in leaves], divisions)
        for i, (total, division) in enumerate(zip(squares, divisions)):
            rms = jnp.sqrt(total / (leaves[i].size * division.parts))
            leaves[i] = leaves[i] / jnp.maximum(1, rms / LARGEST_RMS)
        return jax.tree.unflatten(structure, leaves), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _factors_of(part: Array, division: Division) -> _Factors | None:
    """Return the dimensions to factor; None if the second moment is stored for every element."""
    shape = list(part.shape)
    if len(shape) < 2:
        return None
    shape[division.dimension] *= division.parts
    row, column = (int(dimension) for dimension in np.argsort(shape)[-2:])
    return _Factors(tuple(shape), row, column) if shape[row] >= SMALLEST else None


def _row_and_column_means(
    gradients: list[Array], divisions: list[Division], factors: list[_Factors | None]
) -> list[tuple[Array, ...]]:
    """Return the mean squares over rows and columns of whole arrays; () for unfactored ones."""
    sums: list[tuple[Array, ...]] = []
    for gradient, division, factor in zip(gradients, divisions, factors):
        if factor is None:
            sums.append(())
            continue
        squares, averaged = gradient**2 + EPSILON, (factor.column, factor.row)
        sums.append(tuple(_partial_mean(squares, division, factor, axis) for axis in averaged))
    return _sum_parts(sums, divisions)


def _partial_mean(squares: Array, division: Division, factor: _Factors, axis: int) -> Array:
    """Return this device's summand of the mean over a dimension of the whole array.

    Args:
      squares: this device's part.
      division: division of the whole array.
      factor: shape of the whole array.
      axis: dimension to average over.

    Returns:
      Array of the whole shape without `axis`, zero in what other devices have.
    """
    part = jnp.sum(squares, axis) / factor.shape[axis]
    if division.parts == 1 or division.dimension == axis:
        return part
    dimension = division.dimension - (division.dimension > axis)
    start = lax.axis_index(division.axes) * part.shape[dimension]
    whole = jnp.zeros(factor.shape[:axis] + factor.shape[axis + 1 :], part.dtype)
    return lax.dynamic_update_slice_in_dim(whole, part, start, dimension)


def _sum_parts(values: list[Any], divisions: list[Division]) -> list[Any]:
    """Return values of arrays summed over their parts, in one sum for each set of mesh axes.

    Args:
      values: tree of summands for each array; of a whole array, its final values.
      divisions: division of each array.
    """
    values = list(values)
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, division in enumerate(divisions):
        if division.parts > 1 and jax.tree.leaves(values[index]):
            groups.setdefault(division.axes, []).append(index)
    for axes, members in groups.items():
        flat, restore = ravel_pytree([values[i] for i in members])
        for index, value in zip(members, restore(lax.psum(flat, axes))):
            values[index] = value
    return values


def _blend(decay: Float[Array, ""], moment: Array, new: Array) -> Array:
    """Return the next exponential moving average, in the dtype of the last."""
    return (decay * moment + (1 - decay) * new).astype(moment.dtype)


def _divide(
    gradient: Array, division: Division, factor: _Factors, v_row: Array, v_col: Array
) -> Array:
    """Return this device's part of a gradient over the root of its factored second moment."""
    rows, columns = jnp.expand_dims(v_row, factor.column), jnp.expand_dims(v_col, factor.row)
    rows = (rows / jnp.mean(rows, factor.row, keepdims=True)) ** -0.5
    for scale in (rows, columns**-0.5):
        dimension = division.dimension
        if division.parts > 1 and scale.shape[dimension] > 1:
            size = gradient.shape[dimension]
            start = lax.axis_index(division.axes) * size
            scale = lax.dynamic_slice_in_dim(scale, start, size, dimension)
        gradient = gradient * scale
    return gradient
