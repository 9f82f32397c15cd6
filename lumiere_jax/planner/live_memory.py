"""An estimate of the largest memory of a program's temporaries, from its jaxpr, without compiling.

Arrays live from the equation that makes them to the last that reads them, in the order of the
program. An elementwise result of one large array is not stored: XLA computes it again where it is
read. Compilers order and fuse otherwise, so that this is an estimate, to rank plans by; the
measured ratio to compiled programs is in docs/plan_a_pod.md.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from jax.extend import core
from jax.interpreters import partial_eval

from lumiere_jax.planner.jaxprs import inner_jaxprs, size_of, tiled_size_of

# Equations that are part of the program around them.
CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "shard_map"}) | {
    f"custom_{kind}_call{end}" for kind in ("jvp", "vjp") for end in ("", "_jaxpr")
}
ELEMENTWISE = frozenset(
    """
    abs add add_any and broadcast_in_dim clamp convert_element_type copy cos div eq erf exp exp2
    expand_dims floor ge gt integer_pow iota is_finite le log log1p logistic lt max min mul ne neg
    not optimization_barrier or pow reduce_precision rem reshape round rsqrt select_n sign sin slice
    sqrt square squeeze stop_gradient sub tanh transpose xor
    """.split()  # noqa: SIM905
)
LARGE = 0.25  # of the size of a result: an operand below it is a bias, a scale or a mask


class _Step(NamedTuple):
    """An equation.

    Attributes:
      reads: numbers of the stored arrays that it reads.
      writes: numbers of the arrays that it makes.
      inside: bytes of the temporaries inside of it, its results among them.
    """

    reads: frozenset[int]
    writes: tuple[int, ...]
    inside: int


class _Steps:
    """The equations of a jaxpr and of those it calls, in order.

    Args:
      size_of: function from a variable to the bytes of its array.
    """

    def __init__(self, size_of: Callable[[Any], int]) -> None:
        self.size_of = size_of
        self.steps: list[_Step] = []
        self.sizes: list[int] = []
        self._roots: dict[Any, frozenset[int]] = {}

    def stored(self, size: int) -> frozenset[int]:
        """Return the roots of a new array that is stored: its own number."""
        self.sizes.append(size)
        return frozenset({len(self.sizes) - 1})

    def roots(self, variable: Any) -> frozenset[int]:
        """Return the stored arrays that a variable is computed from; none for a literal."""
        if isinstance(variable, core.Literal):
            return frozenset()
        return self._roots.get(variable, frozenset())

    def name(self, variable: Any, roots: frozenset[int]) -> None:
        """Set the stored arrays that a variable is computed from."""
        self._roots[variable] = roots

    def add(self, jaxpr: core.Jaxpr) -> None:
        """Append the equations of a jaxpr whose arguments are named."""
        for equation in jaxpr.eqns:
            self._add(equation)

    def _add(self, equation: core.JaxprEqn) -> None:
        name, inner = equation.primitive.name, list(inner_jaxprs(equation))
        if name in CALLS and len(inner) == 1:
            self._call(equation, inner[0])
            return
        reads = frozenset().union(*map(self.roots, equation.invars))
        if name in ELEMENTWISE and self._fused(equation, reads):
            return
        peak = functools.partial(_peak, size_of=self.size_of)
        inside = max(map(peak, inner), default=0)
        made = [self.stored(self.size_of(variable)) for variable in equation.outvars]
        for variable, roots in zip(equation.outvars, made):
            self.name(variable, roots)
        self.steps.append(_Step(reads, tuple(number for (number,) in made), inside))

    def _call(self, equation: core.JaxprEqn, inner: core.Jaxpr) -> None:
        # A jaxpr may be called several times: its variables are named anew at each call.
        for inside, outside in zip(inner.invars, equation.invars):
            self.name(inside, self.roots(outside))
        self.add(inner)
        for outside, inside in zip(equation.outvars, inner.outvars):
            self.name(outside, self.roots(inside))

    def _fused(self, equation: core.JaxprEqn, reads: frozenset[int]) -> bool:
        """Name the results of an elementwise equation, unless they are to be stored."""
        size = max(map(self.size_of, equation.outvars))
        if sum(self.sizes[number] > LARGE * size for number in reads) > 1:
            return False
        for variable in equation.outvars:
            self.name(variable, reads)
        return True


def estimate_temporaries(jaxpr: core.Jaxpr, *, tiled: bool = False) -> int:
    """Return about the largest number of bytes of one device's temporaries.

    Arguments do not count, nor do results, which take the place of donated arguments.

    Args:
      jaxpr: jaxpr of the program; inside its `jax.shard_map` shapes are those of one device.
      tiled: True for arrays as a TPU stores them, see `jaxprs.tiled_size_of`.
    """
    return _peak(jaxpr, size_of=tiled_size_of if tiled else size_of, results=False)


def _peak(jaxpr: core.Jaxpr, *, size_of: Callable[[Any], int], results: bool = True) -> int:
    live, _ = partial_eval.dce_jaxpr(jaxpr, True)
    steps = _Steps(size_of)
    for variable in (*live.invars, *live.constvars):
        steps.name(variable, steps.stored(0))
    steps.add(live)
    kept = frozenset().union(*map(steps.roots, live.outvars))
    if not results:
        for number in kept:
            steps.sizes[number] = 0
    return _sweep(steps, kept)


def _sweep(steps: _Steps, kept: frozenset[int]) -> int:
    """Return the largest sum of sizes of arrays that live at the same time."""
    last = {number: index for index, step in enumerate(steps.steps) for number in step.reads}
    ends = collections.defaultdict(list)
    for number, index in last.items():
        if number not in kept:
            ends[index].append(number)
    live, peak = 0, 0
    for index, step in enumerate(steps.steps):
        made = sum(steps.sizes[number] for number in step.writes)
        peak = max(peak, live + max(made, step.inside))
        # A result that nothing reads is gone at once.
        live += sum(steps.sizes[n] for n in step.writes if n in last or n in kept)
        live -= sum(steps.sizes[number] for number in ends[index])
    return peak
