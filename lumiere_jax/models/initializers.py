"""How parameters start, drawn leaf by leaf on the host.

A network has hundreds of kernels, and one XLA program that draws them all takes minutes to
compile. NumPy needs no compiler, gives the same numbers on every platform and for every sharding,
and holds one leaf at a time. Each module names the start of its parameters in their metadata;
`Network.init` draws them.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import numpy as np

Shape = tuple[int, ...]


class Initializer(Protocol):
    """Draws a parameter of the given shape."""

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray: ...


def zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """All zero."""
    return np.zeros(shape, np.float32)


def ones(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """All one."""
    return np.ones(shape, np.float32)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Normal with the given standard deviation."""

    deviation: float

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) * np.float32(self.deviation)


def fan_in(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Normal with variance 1 / inputs, for kernels whose last axis is the output (LeCun 1998)."""
    return Normal(math.prod(shape[:-1]) ** -0.5)(rng, shape)


def identity_taps(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """A kernel (k, 1, c, c) that passes the middle frame through (Lumiere, appendix B)."""
    kernel = np.zeros(shape, np.float32)
    kernel[shape[0] // 2, 0] = np.eye(*shape[2:])
    return kernel


@dataclasses.dataclass(frozen=True)
class Interpolation:
    """A kernel (3, 3, c, p·p·k) from pixels to p×p finer ones each: bilinear interpolation.

    Attributes:
      patch: p.
      outputs: k, channels of a finer pixel; the first c of them are interpolated, the others zero.
    """

    patch: int
    outputs: int

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        offset = (np.arange(self.patch) + 0.5) / self.patch - 0.5
        line = np.maximum(1 - np.abs(offset[:, None] - np.arange(-1, 2)), 0)  # [p, 3]
        pixel = np.eye(shape[2], self.outputs)
        return np.einsum("ia,jb,ck->abcijk", line, line, pixel).reshape(shape).astype(np.float32)


def metadata(kernel: Initializer) -> dict[str, dict[str, Initializer]]:
    """Keyword arguments of `nnx.Linear` and `nnx.Conv`: this kernel, and a bias from zero."""
    return {"kernel_metadata": {"initializer": kernel}, "bias_metadata": {"initializer": zeros}}
