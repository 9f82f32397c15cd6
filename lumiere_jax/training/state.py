"""What training carries from step to step, and which of the parameters it trains."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Int

Params = dict[str, Any]


class State(NamedTuple):
    """Everything the step reads and writes; a pytree.

    Attributes:
      step: batches consumed so far, also those whose update was refused.
      trainable: the parameters that the gradient is taken for, float32.
      frozen: the others, in the compute dtype; no optimizer state, no average.
      ema: exponential moving average of `trainable`.
      optimizer: optax state for `trainable` alone.
      skipped: steps refused because of a loss or gradient that is not finite.
      skipped_in_a_row: of those, the last ones without a good step between.
    """

    step: Int[Array, ""]
    trainable: Params
    frozen: Params
    ema: Params
    optimizer: Any
    skipped: Int[Array, ""]
    skipped_in_a_row: Int[Array, ""]


def create_state(params: Params, trainable: str, optimizer: Any, frozen_dtype: Any) -> State:
    """A state at step 0.

    Args:
      params: `{"unet": …, "text": …}`, all parameters.
      trainable: regular expression; a path such as `unet/down_0_block_1/temporal/…` that it is
        found in is trained.
      optimizer: optax transformation.
      frozen_dtype: dtype of the others, usually the compute dtype.
    """
    trained, frozen = split_params(params, trainable)
    # No leaf is another's buffer: the state is donated, and a buffer cannot be given away twice.
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
    """(trainable, frozen): the leaves whose path the regular expression is found in, the others.

    Raises:
      ValueError: nothing matches.
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
    """The union of trees without a common leaf."""
    return unflatten_dict({path: x for tree in trees for path, x in flatten_dict(tree).items()})


def fingerprint(tree: Any) -> str:
    """A digest of every bit of a tree, the same however its arrays are sharded.

    Sums of integers, so the order of the reduction does not matter. It finds damaged files; it is
    no protection against an adversary.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = [leaf for _, leaf in leaves]
    # Compiling a sum for each of hundreds of leaves takes seconds; on a CPU NumPy needs none.
    if jax.process_count() == 1 and jax.default_backend() == "cpu":
        sums = [_checksum(np.asarray(array), np) for array in arrays]
    else:
        sums = jax.device_get(jax.jit(lambda arrays: [_checksum(x, jnp) for x in arrays])(arrays))
    digest = hashlib.sha256()
    for (path, leaf), value in zip(leaves, sums):
        digest.update(f"{jax.tree_util.keystr(path)}{leaf.shape}{leaf.dtype}{value}".encode())
    return digest.hexdigest()[:16]


def _checksum(array: Any, numpy: Any) -> Any:
    """Wrapping 32-bit sum of an array's bits, each element weighted by its position.

    Args:
      numpy: `numpy` or `jax.numpy`; both give the same number.
    """
    bits = array.view(f"uint{8 * array.dtype.itemsize}").astype(numpy.uint32).reshape(-1)
    position = numpy.arange(bits.size, dtype=numpy.uint32)
    # Odd weights, so that a flipped high bit is not multiplied away.
    weights = position * numpy.uint32(2 * 1327217885) + numpy.uint32(1)
    return (bits * weights).sum(dtype=numpy.uint32)
