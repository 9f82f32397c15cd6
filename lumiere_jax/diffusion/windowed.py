"""Denoisers that run window by window: any length of clip in the memory of a few windows.

A windowed denoiser is a denoiser. It slices x and the conditions, runs the inner denoiser on a
group of windows at a time, and accumulates the normal equations of each frame's least-squares
problem: the window weights Σ W_i, and the weighted predictions Σ W_i J_i. `solve_frame`, mapped
over the frames, then gives the clip. No window's prediction is kept longer than its group.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.multidiffusion import (
    Tiles,
    Weights,
    Windows,
    normalized_weights,
    solve_frame,
)
from lumiere_jax.parallel.collectives import own_rows, parts_along
from lumiere_jax.text.text import Text

SLICED = ("low_resolution", "observed", "mask")  # the conditions that have frames and pixels


def windows(
    denoise: Denoise,
    plan: Windows,
    *,
    group: int = 1,
    weights: Weights | None = None,
    texts: Text | None = None,
    axis: int = 1,
    mesh_axis: str | None = None,
) -> Denoise:
    """Return the denoiser of a whole clip, made from the denoiser of a window.

    Args:
      denoise: denoiser of `plan.size` frames, `jax.vmap`ped over a group.
      plan: positions of the windows. With a single one `denoise` itself is returned.
      group: windows denoised at a time; memory and the use of the accelerator grow with it.
      weights: window weights, see `window_weights`; uniform when None.
      texts: prompt of each window, [n, b, l, d] (several shots in one clip); the clip's for all of
        them when None.
      axis: 1 for frames, 2 for rows, 3 for columns.
      mesh_axis: mesh axis that the groups are divided over, inside `jax.shard_map`; the normal
        equations are summed along it. None runs all groups on each device.

    Raises:
      ValueError: a group below 1; when called, a clip of another length than planned.
    """
    if group < 1:
        raise ValueError(f"group={group} windows at a time: must be at least 1; use group=1")
    if len(plan) == 1 and texts is None:
        return denoise
    weights = normalized_weights(plan, weights)

    def denoise_clip(x, time, conditions: Conditions) -> Estimate:
        if x.shape[axis] != plan.frames:
            raise ValueError(
                f"axis {axis} of {x.shape} has {x.shape[axis]} frames; the windows were planned "
                f"for {plan.frames}"
            )
        parts = 1 if mesh_axis is None else parts_along([mesh_axis])
        precision = jnp.promote_types(x.dtype, jnp.float32)
        work = _grouped(plan, weights, texts, group, parts, precision)
        if mesh_axis is not None:
            work = jax.tree.map(lambda leaf: own_rows(leaf, mesh_axis, 0), work)
        total, weighted = _accumulation(denoise, plan, axis)(x, time, conditions, work)
        if mesh_axis is not None:
            total, weighted = jax.lax.psum((total, weighted), mesh_axis)
        return _solve(total, weighted, plan.size, axis)

    return denoise_clip


def tiles(
    denoise: Denoise,
    plan: Tiles,
    *,
    group: int = 1,
    row_weights: Weights | None = None,
    column_weights: Weights | None = None,
) -> Denoise:
    """Return the denoiser of a whole frame, made from the denoiser of a tile.

    A tile's weight is the product of its row's and its column's, so that the least squares
    separates: the consensus of the columns within each row, then that of the rows.

    Args:
      denoise: denoiser of frames of the size of a tile.
      plan: positions of the tiles.
      group: tiles denoised at a time.
      row_weights: window weights over the rows; uniform when None.
      column_weights: window weights over the columns; uniform when None.
    """
    strip = windows(denoise, plan.columns, group=group, weights=column_weights, axis=3)
    return windows(strip, plan.rows, weights=row_weights, axis=2)


def _grouped(plan: Windows, weights, texts, group: int, parts: int, dtype) -> tuple:
    """Return starts, weights and texts as [groups, group, ...]; the last group is filled up.

    A filling window repeats the last one with weight 0.
    """
    count = len(plan)
    group = min(group, math.ceil(count / parts))
    groups = math.ceil(count / (group * parts)) * parts
    index = np.minimum(np.arange(groups * group), count - 1)
    real = (np.arange(groups * group) < count)[:, None]

    def shape(values):
        return values[index].reshape(groups, group, *values.shape[1:])

    return (
        jnp.asarray(shape(np.asarray(plan.starts))),
        jnp.asarray(shape(weights) * real.reshape(groups, group, 1), dtype),
        None if texts is None else jax.tree.map(shape, texts),
    )


def _accumulation(denoise: Denoise, plan: Windows, axis: int):
    """Return a function that accumulates the normal equations over the windows of all groups."""

    def slice_at(array, start):
        return jax.lax.dynamic_slice_in_dim(array, start, plan.size, axis)

    def denoise_window(x, time, conditions: Conditions, start, text):
        window = {
            name: slice_at(getattr(conditions, name), start)
            for name in SLICED
            if getattr(conditions, name) is not None
        }
        if text is not None:
            window["text"] = text
        return denoise(slice_at(x, start), time, conditions._replace(**window))

    def accumulate(x, time, conditions, work) -> tuple[Array, Estimate]:
        def predict(starts, texts):
            return jax.vmap(lambda s, t: denoise_window(x, time, conditions, s, t))(starts, texts)

        starts, _, texts = work
        first = jax.tree.map(lambda leaf: leaf[0], (starts, texts))
        weighted = jax.tree.map(
            lambda leaf: jnp.zeros(
                _whole(leaf.shape[1:], axis, plan.frames),
                jnp.promote_types(leaf.dtype, jnp.float32),
            ),
            jax.eval_shape(predict, *first),
        )

        def add_group(sums, part):
            starts, weights, texts = part
            total, weighted = sums
            predictions = predict(starts, texts)
            for i in range(len(starts)):
                total = _add(total, weights[i], starts[i], 0)
                weighted = jax.tree.map(
                    lambda whole, one, i=i: _add(
                        whole, _along(weights[i], axis, whole.ndim) * one[i], starts[i], axis
                    ),
                    weighted,
                    predictions,
                )
            return (total, weighted), None

        zero = jnp.zeros(plan.frames, work[1].dtype)
        return jax.lax.scan(add_group, (zero, weighted), work)[0]

    return accumulate


def _solve(total: Array, weighted: Estimate, size: int, axis: int) -> Estimate:
    """Solve each frame's normal equations, in place and `size` frames at a time.

    One expression over all frames would write its result beside what it reads: two more clips in
    memory.
    """
    solve = jax.vmap(solve_frame, in_axes=(0, axis), out_axes=axis)
    starts = np.minimum(np.arange(0, len(total), size), len(total) - size)

    def solve_block(sums, start):
        total, weighted = sums
        block = jax.lax.dynamic_slice_in_dim(total, start, size, 0)
        weighted = jax.tree.map(
            lambda leaf: jax.lax.dynamic_update_slice_in_dim(
                leaf,
                solve(block, jax.lax.dynamic_slice_in_dim(leaf, start, size, axis)),
                start,
                axis,
            ),
            weighted,
        )
        # The last block may contain frames that are solved already: their equation is 1 J = J.
        total = jax.lax.dynamic_update_slice_in_dim(total, jnp.ones_like(block), start, 0)
        return (total, weighted), None

    return jax.lax.scan(solve_block, (total, weighted), jnp.asarray(starts))[0][1]


def _whole(shape: tuple[int, ...], axis: int, frames: int) -> tuple[int, ...]:
    return (*shape[:axis], frames, *shape[axis + 1 :])


def _along(weights: Array, axis: int, rank: int) -> Array:
    """Return weights [t] shaped to multiply the frames on an axis of an array of some rank."""
    return weights.reshape((-1,) + (1,) * (rank - 1 - axis))


def _add(whole: Array, window: Array, start: Array, axis: int) -> Array:
    """Return `whole` with `window` added to its frames from `start` on."""
    before = jax.lax.dynamic_slice_in_dim(whole, start, window.shape[axis], axis)
    return jax.lax.dynamic_update_slice_in_dim(
        whole, before + window.astype(whole.dtype), start, axis
    )
