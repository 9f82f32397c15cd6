"""Noise that belongs to a clip: drawn from its own key, frame by frame.

Drawing takes several times the memory of what is drawn, which for a whole clip would be the peak of
the program. And a frame's noise does not depend on how many come after it.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lumiere_jax.diffusion.frames import rewrite


def normal(keys: Key[Array, "b"], shape: tuple[int, int, int, int]) -> Float[Array, "b t h w c"]:
    """Standard normal clips of that shape [t, h, w, c], one a key."""
    drawn = frame_noise(keys, shape)
    return rewrite(lambda _, __, number: drawn(number), jnp.zeros((len(keys), *shape)))


def frame_noise(
    keys: Key[Array, "b"], shape: tuple[int, int, int, int]
) -> Callable[[Array], Float[Array, "b h w c"]]:
    """The frames of the clips that `normal` draws, by number."""

    def drawn(number):
        return jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(folded(keys, number))

    return drawn


def folded(keys: Key[Array, "b"], number: Array | int) -> Key[Array, "b"]:
    """A further key from each."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
