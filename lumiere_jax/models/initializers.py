"""Initializers of parameters, drawn leaf by leaf on the host.

A network has hundreds of kernels, and one XLA program that draws them all takes minutes to
compile. NumPy does not compile, gives the same numbers on every platform and for every sharding,
and needs memory for one leaf at a time. Each module names the initializers of its parameters in
their metadata; `Network.init` calls them.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import numpy as np

Shape = tuple[int, ...]


class Initializer(Protocol):
    """Function that draws a parameter of a given shape."""

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray: ...


def zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return zeros."""
    return np.zeros(shape, np.float32)


def ones(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return ones."""
    return np.ones(shape, np.float32)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Normal distribution with mean 0.

    Attributes:
      deviation: standard deviation.
    """

    deviation: float

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) * np.float32(self.deviation)


def fan_in(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from the normal distribution with variance 1 / inputs (LeCun 1998).

    The last axis is the output; the product of the others is the number of inputs.
    """
    return Normal(math.prod(shape[:-1]) ** -0.5)(rng, shape)


def identity_taps(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return a kernel [k, 1, c, c] that copies the middle frame (Lumiere, appendix B)."""
    kernel = np.zeros(shape, np.float32)
    kernel[shape[0] // 2, 0] = np.eye(*shape[2:])
    return kernel


@dataclasses.dataclass(frozen=True)
class Interpolation:
    """Kernel [3, 3, c, p·p·k] that interpolates each pixel bilinearly to p×p finer ones.

    Attributes:
      patch: finer pixels per side of a pixel, p.
      outputs: channels of a finer pixel, k; the first c are interpolated, the others zero.
    """

    patch: int
    outputs: int

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        offset = (np.arange(self.patch) + 0.5) / self.patch - 0.5
        line = np.maximum(1 - np.abs(offset[:, None] - np.arange(-1, 2)), 0)  # [p, 3]
        pixel = np.eye(shape[2], self.outputs)
        return np.einsum("ia,jb,ck->abcijk", line, line, pixel).reshape(shape).astype(np.float32)


def metadata(kernel: Initializer) -> dict[str, dict[str, Initializer]]:
    """Return keyword arguments of `nnx.Linear` and `nnx.Conv`: this kernel, and a zero bias."""
    return {"kernel_metadata": {"initializer": kernel}, "bias_metadata": {"initializer": zeros}}
