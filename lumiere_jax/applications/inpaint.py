"""Inpainting and outpainting: a video is observed except for the region to generate."""

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
    """Build the request for a video with a generated region (Lumiere, section 4).

    Args:
      prompts, seeds: prompt and seed of each clip.
      video: observed video; its pixels inside the region are ignored.
      region: True at the pixels to generate.
      conditioning: use of the observed video, see `Request`.
      **options: further fields of `Request`: negative.
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
    """Build the request for a video inside a larger canvas, the rest of which is generated.

    Args:
      prompts, seeds: prompt and seed of each clip.
      canvas: video in its place, from `canvas.place`; not necessarily square.
      known: True at the pixels of the video.
      conditioning: use of the observed video, see `Request`.
      **options: further fields of `Request`: negative.
    """
    region = np.broadcast_to(~known, canvas.shape[:-1])
    return inpaint(prompts, seeds, canvas, region, conditioning=conditioning, **options)
