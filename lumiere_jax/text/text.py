"""The two forms of a prompt: tokens, and the embeddings that a network reads."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Int


class Text(NamedTuple):
    """Text embeddings as the networks read them; a pytree.

    Attributes:
      embedding: text encoder's output, one vector for each token.
      mask: True at real tokens; None to read every position. Models that see padding (DeepFloyd
        IF's 77 tokens) ignore it.
    """

    embedding: Float[Any, "b l d"]
    mask: Bool[Any, "b l"] | None = None


class Tokens(NamedTuple):
    """A tokeniser's output, padded to one length.

    Attributes:
      ids: token numbers; 0 at padding.
      mask: True at real tokens, the end-of-sequence token among them.
    """

    ids: Int[Any, "b l"]
    mask: Bool[Any, "b l"]
