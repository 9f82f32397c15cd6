"""The interface of the sources of clips.

A source never shuffles, batches or skips errors: it returns clip number `record`, or raises.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, UInt8


class Example(NamedTuple):
    """A clip or some of its frames, with its caption and, if stored, the caption's embedding."""

    frames: UInt8[np.ndarray, "t h w 3"]
    caption: str
    text_embedding: Float[np.ndarray, "l d"] | None = None


class Source(Protocol):
    """Clips by number; can be pickled, since data workers are other processes."""

    identity: str
    """Name of the content, not of its place: a data position with another name is refused."""

    def __len__(self) -> int:
        """Return the number of clips."""
        ...

    def read(self, record: int, moment: float | None = None, frames: int = 1) -> Example:
        """Return a clip, or some consecutive frames of it.

        Args:
          record: number of the clip.
          moment: place of the frames in the clip, in [0, 1): the first at 0, the last near 1; the
            whole clip when None.
          frames: number of frames to return, if `moment` is given.

        Raises:
          Exception: the clip cannot be decoded; of any type.
        """
        ...


def first_frame(moment: float, frames: int, length: int) -> int:
    """Return the first frame of a segment of `frames` at `moment` in a clip of `length` frames."""
    return int(moment * (length - frames + 1))
