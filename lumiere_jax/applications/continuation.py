"""Continuation: the last frames of a clip are the first ones of the next (not in the paper)."""

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
    """Build the request for clips that begin with given frames.

    Args:
      prompts, seeds: prompt and seed of each clip.
      beginning: first k frames of every clip.
      frames: frames of each clip, including those k.
      conditioning: use of the observed video, see `Request`.
      **options: further fields of `Request`: negative, shots.

    Raises:
      ValueError: the given frames fill the whole clip.
    """
    keep = len(beginning)
    if keep >= frames:
        raise ValueError(
            f"--keep={keep} leaves no frame to generate of --frames={frames}: "
            f"use --keep={max(frames // 2, 1)}"
        )
    observed = np.zeros((1, frames, *beginning.shape[1:]), np.float32)
    observed[:, :keep] = beginning
    mask = np.zeros((*observed.shape[:-1], 1), np.float32)
    mask[:, :keep] = 1
    options |= {"observed": observed, "mask": mask, "conditioning": conditioning}
    return Request(prompts=prompts, seeds=seeds, **options)
