"""The two forms of a prompt: tokens, and the embeddings that a network reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Bool, Float, Int

if TYPE_CHECKING:  # a data worker imports this module, and must not start JAX
    import numpy as np
    from jax import Array


class Text(NamedTuple):
    """Text embeddings as the networks read them; a pytree.

    Attributes:
      embedding: text encoder's output, one vector for each token.
      mask: True at real tokens; None to read every position. Models that see padding (DeepFloyd
        IF's 77 tokens) ignore it.
    """

    embedding: Float[Array, "b l d"]
    mask: Bool[Array, "b l"] | None = None


class Tokens(NamedTuple):
    """A tokeniser's output, padded to one length.

    Attributes:
      ids: token numbers; 0 at padding.
      mask: True at real tokens, the end-of-sequence token among them.
    """

    ids: Int[np.ndarray, "b l"]
    mask: Bool[np.ndarray, "b l"]
