"""Denoisers that work window by window: any length of clip in the memory of a few windows.

A windowed denoiser is a denoiser. It slices x and the conditions, asks the inner denoiser about a
group of windows at a time, and adds each answer, weighted, into one clip: the sum is the consensus
of `multidiffusion`, because the weights are normalised beforehand. No window's answer outlives its
group.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.multidiffusion import Tiles, Windows, normalized_weights
from lumiere_jax.text.text import Text

SLICED = ("low_resolution", "observed", "mask")  # the conditions that have frames and pixels


def windows(
    denoise: Denoise,
    plan: Windows,
    *,
    group: int = 1,
    weights: Float[np.ndarray, "n t"] | None = None,
    texts: Text | None = None,
    axis: int = 1,
    mesh_axis: str | None = None,
) -> Denoise:
    """The denoiser of a whole clip, from one of a window.

    Args:
      denoise: sees `plan.size` frames at a time, `jax.vmap`ped over a group.
      plan: where the windows lie. A single one returns `denoise` itself.
      group: windows at a time: memory grows with it, and so does the use of the accelerator.
      weights: how much each window's opinion counts, see `window_weights`; uniform when None.
      texts: a prompt for each window, [n, b, l, d] (several shots in one clip); else every window
        gets the clip's.
      axis: 1 for frames, 2 for rows, 3 for columns.
      mesh_axis: spread the groups over this axis of the mesh that `jax.set_mesh` set; the
        consensus is then a reduction along it. The other axes go on as they were.

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
        parts = _mesh_axis_size(mesh_axis)
        work = _grouped(plan, weights, texts, group, parts, x.dtype)
        sum_groups = _summation(denoise, plan, axis)
        if parts == 1:
            return sum_groups(x, time, conditions, work)

        def share(x, time, conditions, work):
            return jax.lax.psum(sum_groups(x, time, conditions, work), mesh_axis)

        spread = jax.shard_map(
            share,
            in_specs=(P(), P(), P(), P(mesh_axis)),
            out_specs=P(),
            axis_names={mesh_axis},
            check_vma=False,
        )
        return spread(x, time, conditions, work)

    return denoise_clip


def tiles(
    denoise: Denoise,
    plan: Tiles,
    *,
    group: int = 1,
    row_weights: Float[np.ndarray, "n t"] | None = None,
    column_weights: Float[np.ndarray, "n t"] | None = None,
) -> Denoise:
    """The denoiser of a whole frame, from one of a tile.

    A tile's weight is the product of its row's and its column's. Their least squares separates: it
    is the consensus of the columns within each row, then that of the rows.
    """
    strip = windows(denoise, plan.columns, group=group, weights=column_weights, axis=3)
    return windows(strip, plan.rows, weights=row_weights, axis=2)


def _mesh_axis_size(name: str | None) -> int:
    if name is None:
        return 1
    sizes = dict(jax.sharding.get_abstract_mesh().shape)
    if name not in sizes:
        raise ValueError(
            f"mesh_axis={name!r} is not an axis of the mesh {sizes}; call inside jax.set_mesh"
        )
    return sizes[name]


def _grouped(plan: Windows, weights, texts, group: int, parts: int, dtype) -> tuple:
    """Starts, weights and texts as [groups, group, ...]; the last group filled with weight 0."""
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


def _summation(denoise: Denoise, plan: Windows, axis: int):
    """A function that adds up the weighted answers of all groups."""

    def slice_at(array, start):
        return jax.lax.dynamic_slice_in_dim(array, start, plan.size, axis)

    def ask(x, time, conditions: Conditions, start, text):
        window = {
            name: slice_at(getattr(conditions, name), start)
            for name in SLICED
            if getattr(conditions, name) is not None
        }
        if text is not None:
            window["text"] = text
        return denoise(slice_at(x, start), time, conditions._replace(**window))

    def sum_groups(x, time, conditions, work) -> Estimate:
        def answer(starts, texts):
            return jax.vmap(lambda s, t: ask(x, time, conditions, s, t))(starts, texts)

        starts, _, texts = work
        first = jax.tree.map(lambda leaf: leaf[0], (starts, texts))
        total = jax.tree.map(
            lambda leaf: jnp.zeros(_whole(leaf.shape[1:], axis, plan.frames), leaf.dtype),
            jax.eval_shape(answer, *first),
        )

        def add_group(total, part):
            starts, weights, texts = part
            answers = answer(starts, texts)
            for i in range(len(starts)):
                total = jax.tree.map(
                    lambda whole, one, i=i: _add(whole, one[i], starts[i], weights[i], axis),
                    total,
                    answers,
                )
            return total, None

        return jax.lax.scan(add_group, total, work)[0]

    return sum_groups


def _whole(shape: tuple[int, ...], axis: int, frames: int) -> tuple[int, ...]:
    return (*shape[:axis], frames, *shape[axis + 1 :])


def _add(whole: Array, window: Array, start: Array, weight: Array, axis: int) -> Array:
    """Adds a window, times its frames' weights, into its place in the whole."""
    weight = weight.reshape((-1,) + (1,) * (whole.ndim - 1 - axis)).astype(whole.dtype)
    before = jax.lax.dynamic_slice_in_dim(whole, start, window.shape[axis], axis)
    return jax.lax.dynamic_update_slice_in_dim(whole, before + weight * window, start, axis)
