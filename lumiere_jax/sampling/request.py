"""Requests to the cascade: (text, observed video, mask, start).

Every application of Lumiere is one of them; see `applications/`.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

SEEDS = 2**32
"""Upper limit of seeds: JAX's keys have 32 bits, and larger seeds would repeat smaller ones."""
Conditioning = Literal["trained", "free"]
ARRAYS = ("observed", "mask", "source", "low_resolution")


def check_seed(seed: Any) -> None:
    """Raise a ValueError unless `seed` is a whole number in [0, 2**32)."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed < SEEDS:
        raise ValueError(f"--seed={seed}: seeds are whole numbers from 0 to {SEEDS - 1}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The clips to make. Arrays whose b is 1 apply to all of them.

    Attributes:
      prompts: prompt of each clip.
      seeds: seed of each clip, in [0, 2**32); a clip depends on no other clip's seed.
      negative: negative prompt of all clips; the null text by default.
      frames: frames of each clip; as many as the base was trained on when None.
      observed: observed video, [b, t, h, w, 3] in [−1, 1] at the size of the output; 0 where
        nothing is observed.
      mask: mask of the observed pixels, [b, t, h, w, 1]: 1 where they are observed. They are kept
        at every stage.
      source: source video that denoising starts from (SDEdit), [b, t, h, w, 3] in [−1, 1], of any
        size.
      strength: noise level that `source` is noised to, in (0, 1].
      shots: prompts of the shots of each clip, in order; None for one shot per clip.
      conditioning: "trained" to pass the observed video to the base, which must be fine-tuned on
        observed videos; "free" to keep the observed pixels without passing them. When None,
        "trained" if the base supports it.
      low_resolution: clips to refine without running the base, [b, t, h, w, 3] in [−1, 1].

    Raises:
      ValueError: fields do not fit each other, or are out of range.
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
