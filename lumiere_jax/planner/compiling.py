"""Compile a traced program and read what it needs; or read by how much it does not fit."""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

import jax

from lumiere_jax.parallel.count import compiled_collectives
from lumiere_jax.planner.progress import progress

GIB = 2**30
# Seconds that libtpu 0.0.52 took on two cores for each MB of a lowered program's text, for small
# arrays and for large ones; see the figures in docs/plan_a_pod.md.
SECONDS_A_MEGABYTE = (30.0, 90.0)
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
TEMPORARIES = re.compile(r"HLO temporaries \(([\d.]+)([KMGT])\) exceeds available")
EVERYTHING = re.compile(r"[Uu]sed ([\d.]+)([KMGT])i?B? of")


class Compiled(NamedTuple):
    """What a compiled program needs on one device.

    Attributes:
      total: bytes of arguments, results, temporaries and the program itself; a lower bound if it
        does not fit.
      program: bytes of the program itself.
      fitted: False if the compiler refused it for its memory.
      collectives: number of instructions of each kind, of which XLA merges some; the body of a
        loop counts once. Empty if the compiler refused it.
      seconds: duration of the compilation.
    """

    total: int
    program: int
    fitted: bool
    collectives: dict[str, int]
    seconds: float


def compile_program(traced: Any, stored: int, *, tpu: bool) -> Compiled:
    """Compile a traced program for its mesh's devices.

    Args:
      traced: program, a `jax.stages.Traced`.
      stored: bytes of its arguments on one device.
      tpu: True for devices that libtpu describes.
    """
    lowered = traced.lower(lowering_platforms=("tpu",)) if tpu else traced.lower()
    megabytes = len(lowered.as_text()) / 1e6
    expected = [megabytes * seconds for seconds in SECONDS_A_MEGABYTE] if tpu else None
    begun = time.perf_counter()
    with progress("compiling", expected):
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            needed = needed_bytes(str(error), stored)
            if needed is None:
                raise
            return Compiled(needed, 0, False, {}, time.perf_counter() - begun)
    seconds = time.perf_counter() - begun
    memory = compiled.memory_analysis()
    total = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    counts = compiled_collectives(each_once(compiled.as_text()))
    return Compiled(total, memory.generated_code_size_in_bytes, True, counts, seconds)


def each_once(text: str) -> str:
    """Return the text of a compiled program in which an asynchronous collective stands once.

    A TPU's program has it in the fusion that starts it, in those that go on with it beside other
    work, and in the one that waits for it; the first has a call of AsyncCollectiveStart.

    Args:
      text: HLO of the program.
    """
    computations = []
    for computation in text.split("\n\n"):
        if "AsyncCollectiveStart" not in computation:
            lines = computation.splitlines()
            computation = "\n".join(line for line in lines if "chain_id=" not in line)
        computations.append(computation)
    return "\n\n".join(computations)


def needed_bytes(message: str, stored: int) -> int | None:
    """Return the bytes that the compiler's message says a program needs at least.

    Args:
      message: message of a failed compilation.
      stored: bytes of the program's arguments, which some messages leave out.

    Returns:
      The bytes; None if it failed for another reason.
    """
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    for pattern, besides in ((TEMPORARIES, stored), (EVERYTHING, 0)):
        if found := pattern.search(message):
            return int(float(found[1]) * UNITS[found[2]]) + besides
    return None
