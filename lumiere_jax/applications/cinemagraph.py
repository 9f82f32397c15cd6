"""Cinemagraph: a still in which one region moves (Lumiere, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lumiere_jax.sampling.request import Conditioning, Request


def cinemagraph(
    prompts: Sequence[str],
    seeds: Sequence[int],
    image: Float[np.ndarray, "h w 3"],
    region: Bool[np.ndarray, "h w"],
    *,
    frames: int,
    conditioning: Conditioning | None = "trained",
    **options: Any,
) -> Request:
    """Build the request for clips of a still that moves inside a region.

    Args:
      prompts, seeds: prompt and seed of each clip.
      image: still, every frame of the observed video.
      region: True at the pixels that move: the first frame is observed whole, the others outside of
        the region.
      frames: frames of each clip.
      conditioning: use of the observed video, see `Request`.
      **options: further fields of `Request`: negative.
    """
    mask = np.broadcast_to(~region[None, None, ..., None], (1, frames, *region.shape, 1))
    mask = mask.astype(np.float32)
    mask[:, 0] = 1
    options |= {"observed": image * mask, "mask": mask, "conditioning": conditioning}
    return Request(prompts=prompts, seeds=seeds, **options)
