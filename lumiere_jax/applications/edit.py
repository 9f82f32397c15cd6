"""Video editing by SDEdit: noise a video part of the way, denoise it with another prompt.

Meng et al., arXiv 2108.01073; Lumiere, section 4. All frames are noised and denoised together at
the full frame rate, which keeps the edit consistent; super-resolution follows as usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from lumiere_jax.sampling.request import Request


def edit(
    prompts: Sequence[str],
    seeds: Sequence[int],
    video: Float[np.ndarray, "t h w 3"],
    *,
    strength: float = 0.6,
    **options: Any,
) -> Request:
    """Build the request for an edited version of a source video.

    Args:
      prompts, seeds: prompt and seed of each clip.
      video: source video, which denoising starts from.
      strength: noise level of the source video at the start, in (0, 1]: near 0 the base returns
        the source video, at 1 hardly anything of it is left.
      **options: further fields of `Request`: negative.
    """
    return Request(prompts=prompts, seeds=seeds, source=video[None], strength=strength, **options)
