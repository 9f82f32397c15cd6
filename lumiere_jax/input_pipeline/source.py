"""What every source of clips gives, and how it is asked.

A source never shuffles, batches or forgives: it gives clip number `record`, or raises.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, UInt8


class Example(NamedTuple):
    """What a source gives: a clip, or one frame of it, and its text."""

    frames: UInt8[np.ndarray, "t h w 3"]
    caption: str
    text_embedding: Float[np.ndarray, "l d"] | None = None


class Source(Protocol):
    """Clips by number. Must survive pickling: data workers are other processes."""

    identity: str
    """Names the content, not the place: a data position saved with another one is refused."""

    def __len__(self) -> int:
        """How many clips there are."""
        ...

    def read(self, record: int, moment: float | None = None, frames: int = 1) -> Example:
        """Clip `record`; only `frames` of it where a `moment` in [0, 1) says from where on.

        At 0 they are its first, near 1 its last ones.

        Raises:
          Exception: any kind, where the clip cannot be decoded.
        """
        ...


def first_frame(moment: float, frames: int, length: int) -> int:
    """Where in a clip of `length` frames the segment of `frames` at `moment` begins."""
    return int(moment * (length - frames + 1))
