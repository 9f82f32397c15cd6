"""Digests of parameters, to find out whether two sets of them are equal.

Both are stored in files (embedded clips, evaluations, checkpoints) and must never change.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lumiere_jax.checkpoints.tree import Params, flatten
from lumiere_jax.structure import to_dict


def model_fingerprint(config: Any, params: Params) -> str:
    """Return the SHA-256 of a configuration and of every parameter with its path, dtype and shape.

    It names a network whose results are stored, such as embedded captions.

    Args:
      config: dataclass that describes the architecture.
      params: parameters, any arrays.

    Returns:
      64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(to_dict(config), sort_keys=True).encode())
    for path, leaf in flatten(params).items():
        array = np.ascontiguousarray(np.asarray(leaf))
        digest.update(f"{path} {array.dtype.name} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def tree_fingerprint(tree: Any) -> str:
    """Return a digest of every bit of a tree of arrays, the same however they are sharded.

    It finds damaged checkpoints and does not protect against an adversary. It sums integers on the
    devices that hold the array, so the order of the reduction does not matter.

    Returns:
      16 hexadecimal digits.
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
    """Return the wrapping 32-bit sum of an array's bits, each element weighted by its position.

    Args:
      array: array of any dtype and shape.
      numpy: the module `numpy` or `jax.numpy`; both give the same number.
    """
    bits = array.view(f"uint{8 * array.dtype.itemsize}").astype(numpy.uint32).reshape(-1)
    position = numpy.arange(bits.size, dtype=numpy.uint32)
    # Odd factors, so that a flipped high bit is not multiplied away.
    factors = position * numpy.uint32(2 * 1327217885) + numpy.uint32(1)
    return (bits * factors).sum(dtype=numpy.uint32)
