"""Networks as pure functions, made from their configurations.

Flax NNX modules define the networks, but no code outside this folder uses a module. It calls
`init(key) -> params` and `apply(params, …)`, where `params` is a nested dictionary of arrays with
string keys, which can be sharded, saved, frozen in parts or interpolated without Flax.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from lumiere_jax.models.gathering import WHOLE
from lumiere_jax.parallel.sharding import Layout

Params = dict[str, Any]
"""Nested dictionary of arrays; keys are strings."""


def default_dtype() -> jnp.dtype:
    """Return the default compute dtype: float32 on CPU, bfloat16 on accelerators."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


class _Keys:
    """A key for each parameter, used instead of `nnx.Rngs`.

    The counter is a plain number: that of `nnx.Rngs` is a variable, and tracing a few hundred
    updates of it took most of the time to describe a network.
    """

    def __init__(self, key: jax.Array):
        self._key, self._count = key, 0

    def params(self) -> jax.Array:
        """Return the next key."""
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


class Network:
    """A network as pure functions of its parameters.

    Attributes:
      config: dataclass that describes the architecture and nothing else.
      dtype: compute dtype; parameters keep their own.
      remat: True if each block's activations are recomputed in the backward pass.
      layout: storage of the parameters.
    """

    def __init__(
        self,
        config: Any,
        build: Callable[[Any], nnx.Module],
        *,
        dtype: jnp.dtype,
        remat: bool = False,
        layout: Layout = WHOLE,
    ):
        self.config, self.dtype, self.remat, self.layout = config, dtype, remat, layout
        self._graph, state = nnx.split(nnx.eval_shape(lambda: build(_Keys(jax.random.key(0)))))
        self._shapes = nnx.to_pure_dict(state)
        self._compiled = jax.jit(self._run)
        self._initializers = {
            "/".join(path): variable.get_metadata().get("initializer")
            for path, variable in nnx.to_flat_state(state)
        }

    def with_layout(self, layout: Layout) -> Network:
        """Return the network for parameters that are stored in this way; see `network`."""
        return network(self.config, dtype=self.dtype, remat=self.remat, layout=layout)

    def shapes(self) -> Params:
        """Return the parameter tree as `jax.ShapeDtypeStruct`s, without allocating anything."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self._shapes)

    def init(
        self, key: jax.Array, *, shardings: Params | None = None, given: Params | None = None
    ) -> Params:
        """Draw float32 parameters, leaf by leaf on the host (see `models.initializers`).

        Args:
          key: JAX random key; the same key gives the same numbers with every sharding.
          shardings: tree of `jax.sharding.Sharding`; the default device when None.
          given: part of the parameter tree that is returned unchanged; only the rest is drawn.

        Raises:
          ValueError: `given` has parameters that this network does not have, or of other shapes.
          TypeError: called under a JAX transformation; use `shapes()` there.
        """
        if isinstance(key, jax.core.Tracer):
            raise TypeError(
                "Network.init draws on the host: call it outside jax.jit, with shardings= where "
                "the parameters are to be divided; Network.shapes() gives the shapes alone"
            )
        seed = np.asarray(jax.random.key_data(key)).astype(np.uint64)
        places = None if shardings is None else traverse_util.flatten_dict(shardings, sep="/")
        shapes = traverse_util.flatten_dict(self.shapes(), sep="/")
        params = traverse_util.flatten_dict(given or {}, sep="/")
        _check_given(params, shapes)
        for path, shape in shapes.items():
            if path not in params:
                draw = functools.partial(self._draw, path, shape, seed)
                params[path] = _place(draw, shape, None if places is None else places[path])
        return traverse_util.unflatten_dict({path: params[path] for path in shapes}, sep="/")

    def _draw(self, path: str, shape: jax.ShapeDtypeStruct, seed: np.ndarray) -> np.ndarray:
        initializer = self._initializers[path]
        if initializer is None:
            raise ValueError(
                f"{path} names no initializer: give its nnx.Param the metadata `initializer`"
            )
        # The path is part of the seed: a parameter's value does not depend on the other ones.
        rng = np.random.Generator(np.random.Philox([*seed, zlib.crc32(path.encode())]))
        return initializer(rng, shape.shape).astype(shape.dtype)

    def apply(self, params: Params, *args: Any, **kwargs: Any) -> jax.Array:
        """Run the network with `params` and the arguments of its module's `__call__`.

        It is compiled, unless inside of `jax.jit`, where it becomes part of that program.
        """
        return self._compiled(params, *args, **kwargs)

    def _run(self, params: Params, *args: Any, **kwargs: Any) -> jax.Array:
        return nnx.merge(self._graph, params)(*args, **kwargs)


def _place(draw: Callable[[], np.ndarray], shape: jax.ShapeDtypeStruct, place: Any) -> jax.Array:
    if place is None:
        return jnp.asarray(draw())
    value = draw()
    return jax.make_array_from_callback(shape.shape, place, lambda index: value[index])


def _check_given(params: dict[str, Any], shapes: dict[str, jax.ShapeDtypeStruct]) -> None:
    for path, leaf in params.items():
        expected = shapes[path].shape if path in shapes else None
        if leaf.shape != expected:
            raise ValueError(
                f"the given parameters do not fit this network: {path} is {leaf.shape}, "
                f"expected {expected or 'no such parameter'}"
            )


@functools.lru_cache(maxsize=64)
def network(
    config: Any, *, dtype: Any = None, remat: bool = False, layout: Layout = WHOLE
) -> Network:
    """Return the network that a configuration describes.

    Args:
      config: `UNetConfig` (image model, STUNet, super-resolution) or `T5Config`.
      dtype: compute dtype; float32 on CPU and bfloat16 on accelerators when None.
      remat: True to recompute each block's activations in the backward pass instead of storing
        them.
      layout: storage of the parameters on a mesh; such a network takes this device's parts and runs
        inside `jax.shard_map` only. By default every parameter is whole.

    Raises:
      TypeError: no network has a configuration of this type.
    """
    from lumiere_jax.models.config import UNetConfig
    from lumiere_jax.models.t5 import T5Config, T5Encoder
    from lumiere_jax.models.unet import UNet

    dtype = jnp.dtype(dtype) if dtype is not None else default_dtype()
    options = {"dtype": dtype, "remat": remat, "layout": layout}
    if isinstance(config, UNetConfig):
        return Network(config, lambda rngs: UNet(config, rngs=rngs, **options), **options)
    if isinstance(config, T5Config):
        return Network(config, lambda rngs: T5Encoder(config, rngs=rngs, **options), **options)
    raise TypeError(f"no network for {type(config).__name__}; expected UNetConfig or T5Config")
