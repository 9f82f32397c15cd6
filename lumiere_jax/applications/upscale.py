"""Super-resolution of a clip that is there already: the cascade without its base."""

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
    """The request for a finer version of a clip.

    Args:
      prompts, seeds: one a clip; what the clip shows.
      video: at the base's size.
      **options: of `Request`: negative.
    """
    return Request(prompts=prompts, seeds=seeds, low_resolution=video[None], **options)
