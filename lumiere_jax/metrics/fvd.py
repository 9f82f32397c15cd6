"""Fréchet video distance (Unterthiner et al. 2018, arXiv 1812.01717), with its protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.metrics.frechet import frechet_distance
from lumiere_jax.metrics.i3d import i3d_logits
from lumiere_jax.metrics.i3d_resize import Rule


def frechet_video_distance(
    first_videos: UInt8[np.ndarray, "n t h w 3"],
    second_videos: UInt8[np.ndarray, "m t h w 3"],
    *,
    resize: Rule = "half_pixel",
    weights: epath.PathLike | None = None,
    batch: int = 4,
    progress: bool = False,
) -> tuple[float, dict[str, Any]]:
    """FVD of two sets of clips, and what has to be said beside it.

    With fewer clips than the 400 features have dimensions it is far above what many clips would
    give: compare only numbers of one protocol.

    Args:
      first_videos, second_videos: the sets; frames may differ in size, not in number.
      resize, weights, batch, progress: see `i3d_logits`.

    Returns:
      The distance, and its protocol: N of each set, T, sizes, resize rule, features, divisor.

    Raises:
      FileNotFoundError: the weights are not installed.
      ValueError: sets of another type, shape or length of clips, or of fewer than two clips.
    """
    if first_videos.shape[1:2] != second_videos.shape[1:2]:
        raise ValueError(
            f"clips of {first_videos.shape[1]} and {second_videos.shape[1]} frames: FVD depends on "
            "their number; cut both to one length"
        )
    options = {"weights": weights, "batch": batch, "progress": progress}
    first, second = (
        i3d_logits(videos, resize, **options) for videos in (first_videos, second_videos)
    )
    protocol = fvd_protocol(first_videos, second_videos, resize)
    return frechet_distance(first, second), protocol


def fvd_protocol(first: np.ndarray, second: np.ndarray, resize: Rule) -> dict[str, Any]:
    """What a number of these two sets [n, t, h, w, 3] depends on."""
    return {
        "N": [len(first), len(second)],
        "T": first.shape[1],
        "sizes": [list(first.shape[2:4]), list(second.shape[2:4])],
        "resize": f"{resize} to 224×224",
        "features": "I3D Kinetics-400 logits, mean over time",
        "divisor": "N-1",
    }
