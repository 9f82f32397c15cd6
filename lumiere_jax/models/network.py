"""One door for every network: a configuration in, a pair of pure functions out.

Flax NNX modules define the networks, but nothing outside this folder sees a module. The framework
sees `init(key) -> params` and `apply(params, …)`, where `params` is a nested dictionary of arrays
with string keys: it can be sharded, saved, frozen in parts or interpolated without knowing Flax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

Params = dict[str, Any]
"""Nested dictionary of arrays; keys are strings."""


def default_dtype() -> jnp.dtype:
    """Compute dtype where none is asked for: float32 on CPU, bfloat16 on accelerators."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


class Network:
    """A network as pure functions of its parameters.

    Attributes:
      config: the dataclass that describes the architecture, and nothing else.
      dtype: compute dtype. Parameters are stored in whatever dtype they are given in.
    """

    def __init__(self, config: Any, build: Callable[[nnx.Rngs], nnx.Module], dtype: jnp.dtype):
        self.config = config
        self.dtype = dtype
        self._build = build
        self._graph, state = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))))
        self._shapes = nnx.to_pure_dict(state)

    def shapes(self) -> Params:
        """The parameter tree as `jax.ShapeDtypeStruct`s: nothing is allocated."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self._shapes)

    def init(self, key: jax.Array) -> Params:
        """Fresh float32 parameters. Compiled, so that a large network starts in parallel."""
        return jax.jit(self._init)(key)

    def _init(self, key: jax.Array) -> Params:
        return nnx.to_pure_dict(nnx.state(self._build(nnx.Rngs(key))))

    def apply(self, params: Params, *args: Any, **kwargs: Any) -> jax.Array:
        """Runs the network with `params`; the arguments are those of its module's `__call__`."""
        return nnx.merge(self._graph, params)(*args, **kwargs)


def network(config: Any, *, dtype: Any = None, remat: bool = False) -> Network:
    """The network that `config` describes.

    Args:
      config: a `UNetConfig` (image model, STUNet, super-resolution) or a `T5Config`.
      dtype: compute dtype; float32 on CPU and bfloat16 on accelerators when None.
      remat: recompute each block's activations in the backward pass instead of keeping them.

    Raises:
      TypeError: no network has a configuration of this type.
    """
    from lumiere_jax.models.t5 import T5Config, T5Encoder
    from lumiere_jax.models.unet import UNet, UNetConfig

    dtype = jnp.dtype(dtype) if dtype is not None else default_dtype()
    if isinstance(config, UNetConfig):
        return Network(
            config, lambda rngs: UNet(config, dtype=dtype, remat=remat, rngs=rngs), dtype
        )
    if isinstance(config, T5Config):
        return Network(
            config, lambda rngs: T5Encoder(config, dtype=dtype, remat=remat, rngs=rngs), dtype
        )
    raise TypeError(f"no network for {type(config).__name__}; expected UNetConfig or T5Config")
