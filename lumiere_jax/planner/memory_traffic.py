"""Bytes that one device moves to and from its memory at least, counted from a jaxpr.

Convolutions and products with parameters read their operands and write their result; everything
between them is taken to be fused into them, and attention's products to be one kernel that keeps
its scores on the chip. So it is less than what a program moves.
"""

from __future__ import annotations

from jax.extend import core

from lumiere_jax.planner.jaxprs import inner_jaxprs, size_of


def count_traffic(jaxpr: core.Jaxpr) -> int:
    """Return the bytes that convolutions and products with parameters read and write.

    The body of a loop counts once per iteration, of a conditional the branch with most bytes.

    Args:
      jaxpr: jaxpr of the program; inside its `jax.shard_map` shapes are those of one device.
    """
    return sum(_traffic(equation) for equation in jaxpr.eqns)


def _traffic(equation: core.JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "conv_general_dilated" or (name == "dot_general" and not _batched(equation)):
        return sum(map(size_of, (*equation.invars, *equation.outvars)))
    if name == "cond":
        return max(count_traffic(branch.jaxpr) for branch in params["branches"])
    inner = sum(map(count_traffic, inner_jaxprs(equation)))
    return inner * params["length"] if name == "scan" else inner


def _batched(equation: core.JaxprEqn) -> bool:
    """Return True for a product of two activations: it has a batch dimension for each head."""
    _, (batch, _) = equation.params["dimension_numbers"]
    return bool(batch)
