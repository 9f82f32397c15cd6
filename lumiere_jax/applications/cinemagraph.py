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
    """The request for clips of a still that moves inside a region.

    Args:
      prompts, seeds: one a clip.
      image: every frame of the observed video.
      region: what moves. The first frame is observed all over, the others outside of it.
      frames: of each clip.
      conditioning: see `Request`.
      **options: of `Request`: negative.
    """
    mask = np.broadcast_to(~region[None, None, ..., None], (1, frames, *region.shape, 1))
    mask = mask.astype(np.float32)
    mask[:, 0] = 1
    options |= {"observed": image * mask, "mask": mask, "conditioning": conditioning}
    return Request(prompts=prompts, seeds=seeds, **options)
