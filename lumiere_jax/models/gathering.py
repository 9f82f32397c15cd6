"""Run a module with its stored parameters gathered, and with or without rematerialisation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jaxtyping import Array

from lumiere_jax.parallel.collectives import gather_stored
from lumiere_jax.parallel.sharding import Layout

WHOLE = Layout()
"""The layout of a network on one device."""


def run_module(
    module: nnx.Module,
    path: str,
    *inputs: Any,
    layout: Layout = WHOLE,
    dtype: Any = None,
    remat: bool = False,
) -> Any:
    """Call a module; each of its divided parameters is gathered here and nowhere kept.

    Neither pass holds the gathered parameters of more than a few modules: without `remat`, the
    backward pass gathers them again and recomputes nothing else.

    Args:
      module: module with this device's parts of its parameters.
      path: '/'-joined path of the module in the network's parameter tree.
      *inputs: arguments of the module; the first is an array.
      layout: layout of the network.
      dtype: compute dtype, in which matrices are moved.
      remat: True to recompute the module's activations in the backward pass.
    """
    divided = any(name.startswith(f"{path}/") for name in layout.by_path)
    if not divided and not remat:
        return module(*inputs)
    graph, state = nnx.split(module)

    def call(params: Any, *inputs: Any) -> Any:
        if divided:
            params = _gather(params, path, inputs[0], layout, dtype)
        return nnx.merge(graph, params)(*inputs)

    policy = None if remat else _all_but_gathers
    return jax.checkpoint(call, policy=policy)(nnx.to_pure_dict(state), *inputs)


def _all_but_gathers(primitive: Any, *_: Any, **__: Any) -> bool:
    """Return whether the backward pass may keep a result: all but gathered parameters."""
    # `gather_stored` is a function with a gradient of its own, the only one in modules beside the
    # flash kernel, which keeps its arguments alone. (A policy by name would keep the gather's own
    # result, and ask to compute its name again.)
    return primitive.name != "custom_vjp_call"


def _gather(params: Any, path: str, x: Array, layout: Layout, dtype: Any) -> Any:
    """Return a module's parameters with those that are divided gathered, once `x` is there."""
    # The barrier makes a gather wait for the module's input: without it, the compiler gathers
    # frozen parameters long before they are needed, and the whole model is in memory. One element
    # is enough, and without a gradient: a frozen parameter stays one that is not differentiated.
    # (A slice, since `ravel` may copy the whole of a tiled array.)
    anchor = None
    if jnp.issubdtype(x.dtype, jnp.floating):
        anchor = jax.lax.stop_gradient(jax.lax.slice(x, (0,) * x.ndim, (1,) * x.ndim))
    flat = traverse_util.flatten_dict(params, sep="/")
    for name, leaf in flat.items():
        division = layout.by_path.get(f"{path}/{name}")
        if division is None:
            continue
        if anchor is not None:
            leaf, _ = jax.lax.optimization_barrier((leaf, anchor))
        moved = dtype if leaf.ndim > 1 else None
        flat[name] = gather_stored(leaf, division, moved, jnp.dtype(layout.gradient_dtype))
    return traverse_util.unflatten_dict(flat, sep="/")
