"""The state of training, and the division of the parameters into trained and frozen ones."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Int

Params = dict[str, Any]


class State(NamedTuple):
    """The state that a training step reads and returns; a pytree.

    Attributes:
      step: number of batches consumed, including those whose update was refused.
      trainable: parameters that the gradient is computed for, float32.
      frozen: all other parameters, in the compute dtype; they have no optimizer state, no average.
      ema: exponential moving average of `trainable`.
      optimizer: optax state of `trainable`.
      skipped: number of updates refused because of a loss or gradient that is not finite.
      skipped_in_a_row: number of updates refused since the last one that was made.
    """

    step: Int[Array, ""]
    trainable: Params
    frozen: Params
    ema: Params
    optimizer: Any
    skipped: Int[Array, ""]
    skipped_in_a_row: Int[Array, ""]


def create_state(params: Params, trainable: str, optimizer: Any, frozen_dtype: Any) -> State:
    """Return the state at step 0.

    Args:
      params: `{"unet": …, "text": …}`, all parameters.
      trainable: regular expression, searched for in paths such as
        `unet/down_0_block_1/temporal/…`; the parameters that match are trained.
      optimizer: optax transformation.
      frozen_dtype: dtype of the frozen parameters, usually the compute dtype.
    """
    trained, frozen = split_params(params, trainable)
    # No two leaves share a buffer: the state is donated, and a buffer cannot be donated twice.
    return State(
        step=jnp.zeros((), jnp.int32),
        trainable=trained,
        frozen=jax.tree.map(lambda leaf: leaf.astype(frozen_dtype), frozen),
        ema=jax.tree.map(jnp.copy, trained),
        optimizer=optimizer.init(trained),
        skipped=jnp.zeros((), jnp.int32),
        skipped_in_a_row=jnp.zeros((), jnp.int32),
    )


def split_params(params: Params, pattern: str) -> tuple[Params, Params]:
    """Return (trainable, frozen): the parameters whose path matches, and all others.

    Args:
      params: all parameters.
      pattern: regular expression, searched for in the path of each parameter.

    Raises:
      ValueError: no path matches.
    """
    found = re.compile(pattern)
    flat = flatten_dict(params, sep="/")
    trainable = {path: leaf for path, leaf in flat.items() if found.search(path)}
    if not trainable:
        raise ValueError(
            f"--config.train.trainable={pattern!r} matches none of {len(flat)} parameters; "
            "'.' trains all, 'temporal' the temporal half"
        )
    frozen = {path: leaf for path, leaf in flat.items() if path not in trainable}
    return unflatten_dict(trainable, sep="/"), unflatten_dict(frozen, sep="/")


def merge_params(*trees: Params) -> Params:
    """Return the union of trees that have no leaf in common."""
    return unflatten_dict({path: x for tree in trees for path, x in flatten_dict(tree).items()})
