"""Changes of clips in place, a frame at a time.

An expression over whole clips needs new memory for its result: after a loop, such as that over
windows, XLA does not reuse the memory of what the expression reads. At 80 × 1024 × 1024 pixels that
is a gigabyte each time; frame by frame it is one frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float

Clip = Float[Array, "b t h w c"]
Frame = Float[Array, "b h w c"]


def rewrite(change: Callable[..., Any], clips: Any, read: Any = None) -> Any:
    """Return clips with every frame replaced by the result of `change`.

    Args:
      change: (frames of `clips`, frames of `read`, frame's number) -> new frames of `clips`.
      clips: tree of clips of equal length, frames on axis 1; None is an empty tree.
      read: tree of clips that are read and not changed; None is an empty tree.
    """

    def write(number, carry):
        clips, now = carry
        new = change(now, frame(read, number), number)
        clips = jax.tree.map(
            lambda clip, one: jax.lax.dynamic_update_index_in_dim(clip, one, number, 1), clips, new
        )
        # The next frames are read from the clip just written: without that order between reading
        # and writing, XLA would copy the whole clip. (Past the end this is the last frame.)
        return clips, frame(clips, number + 1)

    length = jax.tree.leaves(clips)[0].shape[1]
    return jax.lax.fori_loop(0, length, write, (clips, frame(clips, 0)))[0]


def frame(clips: Any, number: Array | int) -> Any:
    """Return one frame of each clip in a tree.

    Args:
      clips: tree of clips, frames on axis 1.
      number: number of the frame, from 0.
    """
    return jax.tree.map(
        lambda clip: jax.lax.dynamic_index_in_dim(clip, number, 1, keepdims=False), clips
    )
