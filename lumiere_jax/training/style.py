"""Style fine-tuning: the spatial weights on a few pictures (Lumiere, section 4; StyleDrop).

Either the image U-Net itself is trained (`trainable="^unet/"`), or with `low_rank` a difference to
each of its matrices, the product of two thin ones (LoRA, Hu et al., arXiv 2106.09685): a hundredth
of the size, and less prone to forget how the rest of the world looks.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Key

from lumiere_jax.checkpoints.style import add_factors
from lumiere_jax.training.objective import Objective
from lumiere_jax.training.state import Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowRankObjective(Objective):
    """Trains `{"low_rank": …}` beside the U-Net, which stays as it is."""

    def shapes(self) -> Params:
        """All parameters as shapes."""
        shapes = super().shapes()
        return shapes | {"low_rank": factor_shapes(shapes["unet"], self.experiment.train.low_rank)}

    def init(
        self,
        key: Key[Array, ""],
        *,
        shardings: Params | None = None,
        given: Params | None = None,
    ) -> Params:
        """See `Objective.init`; the difference starts at zero."""
        given = dict(given or {})
        factors = given.pop("low_rank", None)
        params = super().init(key, shardings=shardings, given=given)
        if factors is None:
            seed = np.asarray(jax.random.key_data(key)).astype(np.uint64)
            factors = fresh_factors(self.shapes()["low_rank"], np.random.default_rng(seed))
            factors = jax.device_put(factors, shardings and shardings["low_rank"])
        return params | {"low_rank": factors}

    def unet_params(self, params: Params) -> Params:
        """The U-Net's, and the difference added to them."""
        return add_factors(params["unet"], params["low_rank"])


def factor_shapes(unet: Params, rank: int) -> Params:
    """For each kernel [..., c, k] the shapes of `down` [inputs, rank] and `up` [rank, k].

    Raises:
      ValueError: a negative rank.
    """
    if rank < 1:
        raise ValueError(f"--config.train.low_rank={rank} must be at least 0; 8 is a good value")
    shapes = {}
    for path, leaf in flatten_dict(unet).items():
        if len(leaf.shape) < 2:
            continue
        inputs, outputs = int(np.prod(leaf.shape[:-1])), leaf.shape[-1]
        thin = min(rank, inputs, outputs)
        shapes[*path, "down"] = jax.ShapeDtypeStruct((inputs, thin), np.float32)
        shapes[*path, "up"] = jax.ShapeDtypeStruct((thin, outputs), np.float32)
    return unflatten_dict(shapes)


def fresh_factors(shapes: Params, rng: np.random.Generator) -> Params:
    """`down` random, `up` zero: their product is zero and its gradient is not."""
    flat = {
        path: rng.standard_normal(leaf.shape, np.float32) * np.float32(leaf.shape[0] ** -0.5)
        if path[-1] == "down"
        else np.zeros(leaf.shape, np.float32)
        for path, leaf in flatten_dict(shapes).items()
    }
    return unflatten_dict(flat)
