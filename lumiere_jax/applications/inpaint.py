"""Inpainting and outpainting: all of a video is observed but what is to be made anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lumiere_jax.sampling.request import Conditioning, Request


def inpaint(
    prompts: Sequence[str],
    seeds: Sequence[int],
    video: Float[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    conditioning: Conditioning | None = "trained",
    **options: Any,
) -> Request:
    """The request for a video whose region is made anew (Lumiere, section 4).

    Args:
      prompts, seeds: one a clip.
      video: what is observed outside of the region.
      region: what is to be made.
      conditioning: see `Request`.
      **options: of `Request`: negative.
    """
    mask = (~region[None, ..., None]).astype(np.float32)
    options |= {"observed": video * mask, "mask": mask, "conditioning": conditioning}
    return Request(prompts=prompts, seeds=seeds, **options)


def outpaint(
    prompts: Sequence[str],
    seeds: Sequence[int],
    canvas: Float[np.ndarray, "t h w 3"],
    known: Bool[np.ndarray, "h w"],
    conditioning: Conditioning | None = "trained",
    **options: Any,
) -> Request:
    """The request for a video inside of a larger canvas, the rest of which is made.

    Args:
      prompts, seeds: one a clip.
      canvas: the video in its place, see `canvas.place`; not necessarily square.
      known: where it is.
      conditioning: see `Request`.
      **options: of `Request`: negative.
    """
    region = np.broadcast_to(~known, canvas.shape[:-1])
    return inpaint(prompts, seeds, canvas, region, conditioning=conditioning, **options)
