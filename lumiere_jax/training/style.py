"""Style fine-tuning: the spatial parameters on a few pictures (Lumiere, section 4; StyleDrop).

Either the image U-Net itself is trained (`trainable="^unet/"`), or with `low_rank` a difference to
each of its matrices, the product of two thin ones (LoRA, Hu et al., arXiv 2106.09685): a hundredth
of the size, and less likely to lose what the image model knows.
"""

from __future__ import annotations

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

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
