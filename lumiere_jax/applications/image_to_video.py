"""Image-to-video: the first frame is observed (Lumiere, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from lumiere_jax.sampling.request import Conditioning, Request


def image_to_video(
    prompts: Sequence[str],
    seeds: Sequence[int],
    image: Float[np.ndarray, "h w 3"],
    *,
    frames: int,
    strength: float | None = None,
    conditioning: Conditioning | None = "trained",
    **options: Any,
) -> Request:
    """Build the request for clips that begin with an image.

    Args:
      prompts, seeds: prompt and seed of each clip.
      image: frame 0 of every clip, the only one that is observed.
      frames: frames of each clip.
      strength: noise level in (0, 1] of the repeated image, from which denoising then starts: lower
        levels give less motion; None to start from noise.
      conditioning: use of the observed video, see `Request`.
      **options: further fields of `Request`: negative, shots.
    """
    observed = np.zeros((1, frames, *image.shape), np.float32)
    observed[:, 0] = image
    mask = np.zeros((*observed.shape[:-1], 1), np.float32)
    mask[:, 0] = 1
    options |= {"observed": observed, "mask": mask, "conditioning": conditioning}
    if strength is not None:
        options |= {"source": np.broadcast_to(image, observed.shape), "strength": strength}
    return Request(prompts=prompts, seeds=seeds, **options)
