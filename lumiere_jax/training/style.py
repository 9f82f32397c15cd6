"""Style fine-tuning: the spatial parameters on a few pictures (Lumiere, section 4; StyleDrop).

Either the image U-Net itself is trained (`trainable="^unet/"`), or with `low_rank` a difference to
each of its matrices, the product of two thin ones (LoRA, Hu et al., arXiv 2106.09685): a hundredth
of the size, and less likely to lose what the image model knows.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

from lumiere_jax.parallel.collectives import gather_stored, own_rows
from lumiere_jax.parallel.sharding import Division
from lumiere_jax.training.state import Params


def factor_shapes(unet: Params, rank: int) -> Params:
    """Return the shapes of `down` [inputs, rank] and `up` [rank, k] for each kernel [..., c, k].

    Args:
      unet: shapes of the U-Net's parameters.
      rank: columns of `down`; fewer where the kernel has fewer inputs or outputs.
    """
    shapes = {}
    for path, leaf in flatten_dict(unet).items():
        if len(leaf.shape) < 2:
            continue
        inputs, outputs = int(np.prod(leaf.shape[:-1])), leaf.shape[-1]
        thin = min(rank, inputs, outputs)
        shapes[*path, "down"] = jax.ShapeDtypeStruct((inputs, thin), np.float32)
        shapes[*path, "up"] = jax.ShapeDtypeStruct((thin, outputs), np.float32)
    return unflatten_dict(shapes)


def init_factors(shapes: Params, rng: np.random.Generator) -> Params:
    """Draw `down` at random and set `up` to zero: the product is zero, its gradient is not.

    Args:
      shapes: result of `factor_shapes`.
      rng: source of the random numbers.
    """
    flat = {
        path: rng.standard_normal(leaf.shape, np.float32) * np.float32(leaf.shape[0] ** -0.5)
        if path[-1] == "down"
        else np.zeros(leaf.shape, np.float32)
        for path, leaf in flatten_dict(shapes).items()
    }
    return unflatten_dict(flat)


def add_divided_factors(unet: Params, factors: Params, divisions: Params) -> Params:
    """Return this device's parts of the U-Net's parameters, with the low-rank difference added.

    Each device computes its part of the products alone: the difference is never whole, and it moves
    with its kernel when that is gathered.

    Args:
      unet: this device's parts of the U-Net's parameters.
      factors: this device's parts of `down` and `up` of each kernel.
      divisions: `Division` of each leaf of both, under "unet" and "low_rank".
    """
    flat, thin = flatten_dict(unet), flatten_dict(factors)
    kernels, pairs = flatten_dict(divisions["unet"]), flatten_dict(divisions["low_rank"])
    for path in sorted({path[:-1] for path in thin}):
        down, up = (gather_stored(thin[*path, end], pairs[*path, end]) for end in ("down", "up"))
        flat[path] = flat[path] + _own_product(down, up, flat[path], kernels[path])
    return unflatten_dict(flat)


def _own_product(down: Array, up: Array, kernel: Array, division: Division) -> Array:
    """Return this device's part of the product, in the shape and dtype of its part of a kernel."""
    shape = list(kernel.shape)
    shape[division.dimension] *= division.parts
    last = len(shape) - 1
    down = down.reshape(*shape[:-1], -1)
    if division.parts > 1 and division.dimension == last:
        up = own_rows(up, division.axes, 1)
    elif division.parts > 1:
        down = own_rows(down, division.axes, division.dimension)
    return jnp.matmul(down, up).astype(kernel.dtype)
