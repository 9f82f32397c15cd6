"""Temporal MultiDiffusion: windows over a clip, and the consensus of their predictions.

The super-resolution network sees only segments of a clip. Their predictions J_i are reconciled at
every denoising step by the clip J that solves (Lumiere, sec. 3.2)

    argmin over J of  sum over i of  ‖ W^½ (J restricted to window i  -  J_i) ‖²

Every frame is its own small least-squares problem. `windowed.windows` accumulates its normal
equations group by group of windows and solves them with `solve_frame`. Rows and columns of tiles
are windows too.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WEIGHTS = ("uniform", "ramp", "gaussian")
Weights = Float[np.ndarray, "n t"] | Float[Array, "n t"]


@dataclasses.dataclass(frozen=True)
class Windows:
    """Positions of the windows over an axis.

    Attributes:
      starts: first frame of each window, in rising order.
      size: frames per window.
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
    """Plan windows that start every `window - overlap` frames, the last one shifted back.

    Args:
      frames: length of the clip.
      window: frames that the network processes at once; `frames` itself gives one window.
      overlap: frames that neighbouring windows share; the last pair may share more.
      names: flags of the window and of the overlap, for the error messages.

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
    """Windows over the height and over the width; every pair of a row and a column is a tile."""

    rows: Windows
    columns: Windows


def plan_tiles(height: int, width: int, tile: int, overlap: int) -> Tiles:
    """Plan square tiles over a frame; a side shorter than a tile is covered by one.

    Args:
      height: rows of the frame.
      width: columns of the frame.
      tile: pixels per side of a tile.
      overlap: pixels that neighbouring tiles share.

    Raises:
      ValueError: a tile that its overlap leaves no step; the message names the flags.
    """
    if tile < 1:
        raise ValueError(f"--tile={tile} must be at least 1 pixel; use --tile={min(height, width)}")

    def plan(size):
        return plan_windows(size, min(tile, size), overlap, names=("--tile", "--tile_overlap"))

    return Tiles(plan(height), plan(width))


def window_weights(windows: Windows, kind: str = "uniform") -> Float[np.ndarray, "n t"]:
    """Return the window weights W: the weight of each window's prediction of each of its frames.

    Args:
      windows: positions of the windows in the clip.
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
            # A frame in three windows lies on two ramps: use the lower one.
            weights[i + 1, :shared] = np.minimum(weights[i + 1, :shared], ramp)
            tail = slice(windows.size - shared, None)
            weights[i, tail] = np.minimum(weights[i, tail], ramp[::-1])
    return weights


def normalized_weights(windows: Windows, weights: Weights | None = None) -> Weights:
    """Return the weights divided by each frame's sum.

    A frame's common factor leaves its least-squares solution as it is. Divided by the sum, a frame
    that one window covers keeps that window's prediction bit for bit. NumPy weights (and None,
    uniform) are divided in float64.

    Args:
      windows: positions of the windows in the clip.
      weights: window weights, see `window_weights`; uniform when None.

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
        sums = jnp.zeros(windows.frames, weights.dtype).at[frame].add(weights)
        return weights / sums[frame]
    weights = weights.astype(np.float64)
    total = np.zeros(windows.frames)
    np.add.at(total, frame, weights)
    if (weights < 0).any() or (total == 0).any():
        where = int(np.argmin(total))
        raise ValueError(f"weights must be positive; those of frame {where} sum to {total[where]}")
    return weights / total[frame]


def solve_frame(total: Float[Array, ""], weighted: Float[Array, "..."]) -> Float[Array, "..."]:
    """Solve the least-squares problem of one frame, given by its normal equations.

    argmin over J of Σ_i W_i ‖J - J_i‖² solves (Σ_i W_i) J = Σ_i W_i J_i. `jax.vmap` of this
    function over the frames is the consensus, in `consensus` and at the end of each sampling step.

    Args:
      total: Σ_i W_i, sum of the weights of the windows that cover the frame; positive.
      weighted: Σ_i W_i J_i, sum of their weighted predictions.
    """
    return weighted / total


def consensus(
    predictions: Float[Array, "n t ..."],
    windows: Windows,
    weights: Weights | None = None,
) -> Float[Array, "f ..."]:
    """Return the clip that agrees best with all windows: weighted least squares, frame by frame.

    Args:
      predictions: each window's prediction of its frames.
      windows: positions of the windows in the clip.
      weights: window weights, see `window_weights`; uniform when None.

    Returns:
      Clip of [frames, ...] in the precision of `predictions`. A single window over the whole clip
      is returned bit for bit.

    Raises:
      ValueError: predictions or weights that are not of the windows' shape.
    """
    if predictions.shape[:2] != (len(windows), windows.size):
        raise ValueError(
            f"predictions are {tuple(predictions.shape)}; the {len(windows)} windows of "
            f"{windows.size} need ({len(windows)}, {windows.size}, ...)"
        )
    predictions = jnp.asarray(predictions)
    if len(windows) == 1:
        return predictions[0]
    compute = jnp.promote_types(predictions.dtype, jnp.float32)
    scaled = jnp.asarray(normalized_weights(windows, weights), compute)
    rest = predictions.shape[2:]
    products = scaled.reshape(scaled.shape + (1,) * len(rest)) * predictions.astype(compute)
    frame = np.asarray(windows.starts)[:, None] + np.arange(windows.size)
    total = jnp.zeros(windows.frames, compute).at[frame].add(scaled)
    weighted = jnp.zeros((windows.frames, *rest), compute).at[frame].add(products)
    return jax.vmap(solve_frame)(total, weighted).astype(predictions.dtype)
