"""Muon whose momenta are this device's parts of divided matrices.

A matrix is orthogonalized as a whole. It is gathered for that, one matrix at a time, so that the
memory of one whole matrix is needed and not of all. Update and state are those of optax's `muon` on
the whole arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array
from optax import contrib

from lumiere_jax.parallel.collectives import gather_stored
from lumiere_jax.parallel.sharding import Division

MOMENTUM = 0.95  # decay of the momentum; that of the authors


def scale_by_muon(
    beta1: float, beta2: float, epsilon: float, matrix_rms: float, divisions: Any = None
) -> optax.GradientTransformation:
    """Return the transformation of gradients to updates of learning rate 1, before their sign.

    Matrices are updated by their orthogonalized momentum; vectors, embeddings and the output by
    NAdamW. `init` takes whole arrays. `update` is called inside `jax.shard_map` with gradients
    divided as `divisions` says; momenta and moments are divided as their parameters.

    Args:
      beta1: decay of NAdamW's first moment.
      beta2: decay of NAdamW's second moment.
      epsilon: constant added to denominators.
      matrix_rms: root mean square of the update of a matrix.
      divisions: tree of `Division`s like the parameters; None if every array is whole.
    """
    if divisions is None:
        descent = contrib.muon(
            1.0,
            beta=MOMENTUM,
            adam_b1=beta1,
            adam_b2=beta2,
            eps=epsilon,
            consistent_rms=matrix_rms,
            muon_weight_dimension_numbers=_matrices,
        )
    else:
        # The stages of optax's `muon`, those that change nothing too, so that the state has the
        # same structure with divisions and without.
        matrices = optax.chain(
            _scale_by_divided_muon(epsilon, matrix_rms, divisions),
            optax.identity(),
            optax.identity(),
            optax.scale(-1.0),
        )
        others = optax.adamw(1.0, beta1, beta2, epsilon, weight_decay=0.0, nesterov=True)
        descent = optax.partition({"muon": matrices, "adam": others}, _labels)
    return optax.chain(descent, optax.scale(-1.0))  # `scale_by_learning_rate` changes the sign too


def is_masked(node: Any) -> bool:
    """Return True for what stands in a state for a parameter that another optimizer updates."""
    return isinstance(node, optax.MaskedNode)


def _scale_by_divided_muon(
    epsilon: float, matrix_rms: float, divisions: Any
) -> optax.GradientTransformation:
    """Return the update of matrices, given as parts, in a tree whose other leaves are masked."""

    def update(updates, state, params=None):
        count = optax.safe_increment(state.count)
        momentum = optax.tree.update_moment(updates, state.mu, MOMENTUM, 1)
        # Nesterov's look ahead: the next momentum, if the next gradient is this one.
        nesterov = jax.tree.map(
            lambda old, new: MOMENTUM * old + (1 - MOMENTUM) * new,
            optax.tree.bias_correction(momentum, MOMENTUM, optax.safe_increment(count)),
            optax.tree.bias_correction(updates, MOMENTUM, count),
        )
        of_matrices = jax.tree.map(
            lambda leaf, division: leaf if is_masked(leaf) else division,
            updates,
            divisions,
            is_leaf=is_masked,
        )
        parts, structure = jax.tree.flatten(nesterov)
        parts = _orthogonalize_in_turn(
            parts, jax.tree.leaves(of_matrices), state.ns_coeffs, epsilon, matrix_rms
        )
        state = state._replace(count=count, mu=momentum)
        return jax.tree.unflatten(structure, parts), state

    return optax.GradientTransformation(contrib.scale_by_muon().init, update)


def _orthogonalize_in_turn(
    parts: list[Array], divisions: list[Division], coefficients: Array, epsilon: float, rms: float
) -> list[Array]:
    """Return this device's parts of orthogonalized matrices, scaled to a root mean square.

    Args:
      parts: this device's parts of matrices or of kernels of convolutions.
      divisions: division of each matrix.
      coefficients: coefficients of the Newton-Schulz iteration, [3].
      epsilon: constant added to the norm of a matrix.
      rms: root mean square of an orthogonal matrix after scaling.
    """
    done: list[Array] = []
    for part, division in zip(parts, divisions):
        if done:
            # The next matrix is gathered when the last one is done, and its memory free.
            part, done[-1] = lax.optimization_barrier((part, done[-1]))
        whole = gather_stored(part, division)
        rows, columns = math.prod(whole.shape[:-1]), whole.shape[-1]
        matrix = _orthogonalize(whole.reshape(rows, columns), coefficients, epsilon)
        own = _own_part(matrix.reshape(whole.shape), division)
        done.append(own * (math.sqrt(max(rows, columns)) * rms))
    return done


def _orthogonalize(matrix: Array, coefficients: Array, epsilon: float) -> Array:
    """Return a matrix whose singular values are near 1, by optax's Newton-Schulz iteration."""
    # Without momentum, what optax orthogonalizes is its input.
    transformation = contrib.scale_by_muon(beta=0.0, nesterov=False, eps=epsilon)
    state = contrib.MuonState(jnp.zeros((), jnp.int32), jnp.zeros_like(matrix), coefficients)
    return transformation.update(matrix, state)[0]


def _own_part(whole: Array, division: Division) -> Array:
    """Return this device's part of an array that every device has whole."""
    if division.parts == 1:
        return whole
    size = whole.shape[division.dimension] // division.parts
    start = lax.axis_index(division.axes) * size
    return lax.dynamic_slice_in_dim(whole, start, size, division.dimension)


def _matrices(params: Any) -> Any:
    """Return the axes of each parameter that are summed over; None if it is not a matrix."""

    def axes(path, leaf):
        # A convolution is the product of unfolded patches with a matrix.
        summed = contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)
        return summed if _is_matrix(path, leaf) else None

    return jax.tree_util.tree_map_with_path(axes, params)


def _labels(params: Any) -> Any:
    """Return "muon" for each matrix and "adam" for each other parameter."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: "muon" if _is_matrix(path, leaf) else "adam", params
    )


def _is_matrix(path: Sequence[Any], leaf: Any) -> bool:
    """Return True unless Muon updates the parameter with NAdamW.

    It does so with vectors, with tables of embeddings, whose rows are looked up one at a time, and
    with the U-Net's last convolution.
    """
    names = [entry.key for entry in path]
    return leaf.ndim > 1 and names[-1] != "embedding" and names[1:-1] != ["conv_out"]
