"""Super-resolution of an existing clip: the cascade without its base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from lumiere_jax.sampling.request import Request


def upscale(
    prompts: Sequence[str],
    seeds: Sequence[int],
    video: Float[np.ndarray, "t h w 3"],
    **options: Any,
) -> Request:
    """Build the request for a version of a clip at higher resolution.

    Args:
      prompts, seeds: prompt, a description of the clip, and seed of each result.
      video: clip at the base's size.
      **options: further fields of `Request`: negative.
    """
    return Request(prompts=prompts, seeds=seeds, low_resolution=video[None], **options)
