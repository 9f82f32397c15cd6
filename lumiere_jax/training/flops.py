"""Floating-point operations of a function, counted from its jaxpr.

Only matrix products and convolutions count, two operations a multiply-add, as in published model
FLOPs. The body of a loop counts once per iteration. Trace the function without rematerialisation:
recomputed activations are not model FLOPs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core


def count_flops(function: Any, *arguments: Any) -> int:
    """Count the FLOPs of a function without running it.

    Args:
      function: function that JAX can trace.
      *arguments: arguments of the function, arrays or `jax.ShapeDtypeStruct`s.
    """
    return jaxpr_flops(jax.jit(function).trace(*arguments).jaxpr.jaxpr)


def jaxpr_flops(jaxpr: core.Jaxpr) -> int:
    """Count the FLOPs of a jaxpr, including the jaxprs inside its equations."""
    return sum(_equation_flops(equation) for equation in jaxpr.eqns)


def _equation_flops(equation: core.JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return _dot_flops(equation)
    if name == "conv_general_dilated":
        return _convolution_flops(equation)
    if name.startswith("dot_product_attention"):
        return _fused_attention_flops(equation)
    if name == "cond":
        return max(jaxpr_flops(branch.jaxpr) for branch in params["branches"])
    inner = sum(jaxpr_flops(jaxpr) for jaxpr in _inner_jaxprs(params))
    if name == "scan":
        return inner * params["length"]
    if name == "shard_map":
        # The body computes one device's share.
        return inner * math.prod(params["mesh"].shape[axis] for axis in params["newly_manual_axes"])
    return inner


def _inner_jaxprs(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def _dot_flops(equation: core.JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, out = _shape(equation.invars[0]), _shape(equation.outvars[0])
    return 2 * out.size * math.prod(left.shape[axis] for axis in contracted)


def _convolution_flops(equation: core.JaxprEqn) -> int:
    kernel, out = _shape(equation.invars[1]), _shape(equation.outvars[0])
    features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    # The input gradient of a strided convolution puts zeros into its input; they do not count.
    spread = math.prod(equation.params["lhs_dilation"])
    return 2 * out.size * (kernel.size // features) // spread


def _fused_attention_flops(equation: core.JaxprEqn) -> int:
    """Count the FLOPs of cuDNN attention: two products forward, four backward."""
    inner = list(_inner_jaxprs(equation.params))
    if inner:  # a wrapper around the kernel
        return sum(jaxpr_flops(jaxpr) for jaxpr in inner)
    query, key = (_shape(variable) for variable in equation.invars[:2])
    keys = key.shape[2] if equation.params.get("layout") == 1 else key.shape[1]
    products = 4 if "bwd" in equation.primitive.name else 2
    return products * 2 * query.size * keys


def _shape(variable: Any) -> Any:
    """Return the abstract array of a variable, which has its shape and size."""
    return variable.aval
