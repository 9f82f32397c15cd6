"""What the cascade is asked for: every application of Lumiere is one of these.

(text, observed video, mask, start); see `applications/`.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

SEEDS = 2**32
"""Seeds lie below this: JAX's keys have 32 bits, and a larger one would wrap to another's clip."""
Conditioning = Literal["trained", "free"]
ARRAYS = ("observed", "mask", "source", "low_resolution")


def check_seed(seed: Any) -> None:
    """Raise a ValueError unless `seed` is a whole number in [0, 2**32)."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed < SEEDS:
        raise ValueError(f"--seed={seed}: seeds are whole numbers from 0 to {SEEDS - 1}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to make.

    Attributes:
      prompts: one a clip.
      seeds: one a clip, in [0, 2**32); a clip depends on its own seed alone.
      negative: negative prompt of all clips; the null text by default.
      frames: of each clip; what the base was trained on when None.
      observed: [b, t, h, w, 3] in [−1, 1] at output resolution, blank (0) where nothing is known.
      mask: [b, t, h, w, 1], 1 where `observed` holds. Its pixels are kept at every stage.
      source: [b, t, h, w, 3] in [−1, 1], a clip that denoising starts from, at any size.
      strength: in (0, 1], how far towards noise `source` is taken.
      shots: several in one clip: the texts of its windows, in order; one list a clip.
      conditioning: "trained": the base was fine-tuned on observed videos, and is shown this one.
        "free": it is not shown, only kept. None: "trained" where the base can.
      low_resolution: [b, t, h, w, 3] in [−1, 1]: skip the base, and refine this clip.

    Arrays whose b is 1 serve all clips.

    Raises:
      ValueError: fields that do not fit each other, or are out of range.
    """

    prompts: Sequence[str]
    seeds: Sequence[int]
    negative: str = ""
    frames: int | None = None
    observed: Float[np.ndarray, "b t h w 3"] | None = None
    mask: Float[np.ndarray, "b t h w 1"] | None = None
    source: Float[np.ndarray, "b t h w 3"] | None = None
    strength: float = 1.0
    shots: Sequence[Sequence[str]] | None = None
    conditioning: Conditioning | None = None
    low_resolution: Float[np.ndarray, "b t h w 3"] | None = None

    def __post_init__(self):
        if not self.prompts or len(self.prompts) != len(self.seeds):
            raise ValueError(
                f"{len(self.prompts)} prompts and {len(self.seeds)} seeds: give one a clip"
            )
        for seed in self.seeds:
            check_seed(seed)
        if not 0 < self.strength <= 1:
            raise ValueError(f"--strength={self.strength} is outside (0, 1]; 0.6 is a good start")
        if (self.observed is None) != (self.mask is None):
            raise ValueError("observed and mask belong together: give both or neither")
        if self.conditioning not in (None, "trained", "free"):
            raise ValueError(
                f"--conditioning={self.conditioning} is neither trained nor free; try free"
            )
        for name in ARRAYS:
            array = getattr(self, name)
            if array is not None and array.shape[0] not in (1, len(self.prompts)):
                raise ValueError(
                    f"{name} holds {array.shape[0]} clips for {len(self.prompts)} prompts: "
                    "give one a prompt, or one for all"
                )
