"""Temporal MultiDiffusion: windows over a clip, and the consensus that makes their answers one.

The super-resolution network sees only segments of a clip. Their predictions J_i are reconciled at
every denoising step by the clip J that solves (Lumiere, sec. 3.2)

    argmin over J of  sum over i of  ‖ W^½ (J restricted to window i  -  J_i) ‖²

Every frame is its own small least-squares problem, whose solution is the weighted mean of the
windows that cover it. Nothing here is about time: rows and columns of tiles are windows too.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WEIGHTS = ("uniform", "ramp", "gaussian")


@dataclasses.dataclass(frozen=True)
class Windows:
    """Where the windows over an axis lie.

    Attributes:
      starts: first frame of each window, rising.
      size: frames of a window.
      frames: frames of the clip (or rows, or columns).
    """

    starts: tuple[int, ...]
    size: int
    frames: int

    def __len__(self) -> int:
        return len(self.starts)


def plan_windows(
    frames: int, window: int, overlap: int, *, names: tuple[str, str] = ("--window", "--overlap")
) -> Windows:
    """Windows of `window` frames that start every `window - overlap`, the last one shifted back.

    Args:
      frames: length of the clip.
      window: frames the network sees at once; `frames` itself gives one window.
      overlap: frames that neighbours share; the last pair may share more.
      names: flags for the error messages.

    Raises:
      ValueError: a window longer than the clip, or one that its overlap leaves no step.
    """
    if frames < 1:
        raise ValueError(f"a clip of {frames} frames has no windows; it needs at least 1")
    if not 1 <= window <= frames:
        raise ValueError(
            f"{names[0]}={window} does not fit a clip of {frames}; "
            f"use {names[0]}={min(max(window, 1), frames)}"
        )
    if not 0 <= overlap < window:
        nearest = min(max(overlap, 0), window - 1)
        raise ValueError(
            f"{names[1]}={overlap} must be at least 0 and less than {names[0]}={window}; "
            f"use {names[1]}={nearest}"
        )
    starts = list(range(0, frames - window + 1, window - overlap))
    if starts[-1] + window < frames:
        starts.append(frames - window)
    return Windows(tuple(starts), window, frames)


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Windows over the height and over the width; every pair of them is a tile."""

    rows: Windows
    columns: Windows


def plan_tiles(height: int, width: int, tile: int, overlap: int) -> Tiles:
    """Square tiles of `tile` pixels (or the whole side where it is shorter).

    Raises:
      ValueError: a tile that its overlap leaves no step; the message names the flags.
    """
    if tile < 1:
        raise ValueError(f"--tile={tile} must be at least 1 pixel; use --tile={min(height, width)}")

    def plan(size):
        return plan_windows(size, min(tile, size), overlap, names=("--tile", "--tile_overlap"))

    return Tiles(plan(height), plan(width))


def window_weights(windows: Windows, kind: str = "uniform") -> Float[np.ndarray, "n t"]:
    """How much each window's opinion about each of its frames counts; positive.

    Args:
      kind: "uniform"; "ramp", rising over the frames shared with the neighbour on either side, so
        that there is no hard cut between windows; "gaussian", a bell with a standard deviation of a
        quarter window.

    Raises:
      ValueError: another kind.
    """
    if kind not in WEIGHTS:
        raise ValueError(f"--window_weights={kind!r} is none of {', '.join(WEIGHTS)}; try 'ramp'")
    weights = np.ones((len(windows), windows.size))
    if kind == "gaussian":
        place = (np.arange(windows.size) - (windows.size - 1) / 2) / (windows.size / 4)
        weights *= np.exp(-0.5 * place**2)
    if kind == "ramp":
        for i, (start, following) in enumerate(zip(windows.starts, windows.starts[1:])):
            shared = max(start + windows.size - following, 0)
            ramp = np.arange(1, shared + 1) / (shared + 1)
            # A frame in three windows lies on two ramps; the lower one holds.
            weights[i + 1, :shared] = np.minimum(weights[i + 1, :shared], ramp)
            tail = slice(windows.size - shared, None)
            weights[i, tail] = np.minimum(weights[i, tail], ramp[::-1])
    return weights


def normalized_weights(
    windows: Windows, weights: Float[Array, "n t"] | None = None
) -> Float[Array, "n t"]:
    """The weights divided by each frame's total, so that summing solves the least squares.

    NumPy weights (and None, uniform) are normalised in float64.

    Raises:
      ValueError: weights of another shape, negative, or all zero at some frame.
    """
    weights = np.ones((len(windows), windows.size)) if weights is None else weights
    if weights.shape != (len(windows), windows.size):
        raise ValueError(
            f"weights are {tuple(weights.shape)}; the {len(windows)} windows of {windows.size} "
            f"need ({len(windows)}, {windows.size})"
        )
    frame = np.asarray(windows.starts)[:, None] + np.arange(windows.size)
    if not isinstance(weights, np.ndarray):
        total = jnp.zeros(windows.frames, weights.dtype).at[frame].add(weights)
        return weights / total[frame]
    weights = weights.astype(np.float64)
    total = np.zeros(windows.frames)
    np.add.at(total, frame, weights)
    if (weights < 0).any() or (total == 0).any():
        where = int(np.argmin(total))
        raise ValueError(f"weights must be positive; those of frame {where} sum to {total[where]}")
    return weights / total[frame]


def solve_frame(
    predictions: Float[Array, "m ..."], weights: Float[Array, " m"]
) -> Float[Array, "..."]:
    """argmin over J of the sum of weights[i] ‖J - predictions[i]‖², for weights that sum to 1."""
    terms = [weight * prediction for weight, prediction in zip(weights, predictions)]
    return functools.reduce(jnp.add, terms)


def consensus(
    predictions: Float[Array, "n t ..."],
    windows: Windows,
    weights: Float[Array, "n t"] | None = None,
) -> Float[Array, "f ..."]:
    """The clip that agrees best with all windows: weighted least squares, a problem a frame.

    Args:
      predictions: what each window says about its frames.
      windows: where they lie.
      weights: how much each opinion counts; uniform when None.

    Returns:
      [frames, ...] in the precision of `predictions`. One window over the whole clip comes back
      bit for bit.

    Raises:
      ValueError: predictions or weights that are not of the windows' shape.
    """
    if predictions.shape[:2] != (len(windows), windows.size):
        raise ValueError(
            f"predictions are {tuple(predictions.shape)}; the {len(windows)} windows of "
            f"{windows.size} need ({len(windows)}, {windows.size}, ...)"
        )
    if len(windows) == 1:
        return jnp.asarray(predictions)[0]
    window, offset, used = _covering(windows)
    compute = jnp.promote_types(predictions.dtype, jnp.float32)
    weights = jnp.asarray(normalized_weights(windows, weights), compute)[window, offset] * used
    gathered = jnp.asarray(predictions)[window, offset].astype(compute)  # [frames, m, ...]
    return jax.vmap(solve_frame)(gathered, weights).astype(predictions.dtype)


@functools.lru_cache(maxsize=64)
def _covering(windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each frame the windows that cover it: their numbers, the frame's place, a use flag.

    Frames covered by fewer windows than others repeat their first one, unused.
    """
    covering = [
        [(i, frame - start) for i, start in enumerate(windows.starts) if 0 <= frame - start < size]
        for size in [windows.size]
        for frame in range(windows.frames)
    ]
    most = max(map(len, covering))
    table = np.array([cover + cover[:1] * (most - len(cover)) for cover in covering])
    used = np.array([[i < len(cover) for i in range(most)] for cover in covering])
    return table[..., 0], table[..., 1], used
