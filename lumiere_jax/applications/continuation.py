"""Continuation: the last frames of a clip are the first of the next one (beyond the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from lumiere_jax.sampling.request import Conditioning, Request


def continuation(
    prompts: Sequence[str],
    seeds: Sequence[int],
    beginning: Float[np.ndarray, "k h w 3"],
    *,
    frames: int,
    conditioning: Conditioning | None = "trained",
    **options: Any,
) -> Request:
    """The request for clips that begin with given frames.

    Args:
      prompts, seeds: one a clip.
      beginning: the first k frames of every clip.
      frames: of each clip, those k among them.
      conditioning: see `Request`.
      **options: of `Request`: negative, shots.

    Raises:
      ValueError: nothing would be left to make.
    """
    keep = len(beginning)
    if keep >= frames:
        raise ValueError(
            f"--keep={keep} leaves nothing to make of --frames={frames}: "
            f"use --keep={max(frames // 2, 1)}"
        )
    observed = np.zeros((1, frames, *beginning.shape[1:]), np.float32)
    observed[:, :keep] = beginning
    mask = np.zeros((*observed.shape[:-1], 1), np.float32)
    mask[:, :keep] = 1
    options |= {"observed": observed, "mask": mask, "conditioning": conditioning}
    return Request(prompts=prompts, seeds=seeds, **options)
