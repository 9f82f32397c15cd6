"""Fréchet video distance (Unterthiner et al. 2018, arXiv 1812.01717), with its protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.metrics.frechet import frechet_distance
from lumiere_jax.metrics.i3d import Rule, i3d_logits


def frechet_video_distance(
    first_videos: UInt8[np.ndarray, "n t h w 3"],
    second_videos: UInt8[np.ndarray, "m t h w 3"],
    *,
    resize: Rule = "half_pixel",
    weights: epath.PathLike | None = None,
    batch: int = 4,
    progress: bool = False,
) -> tuple[float, dict[str, Any]]:
    """Return the FVD of two sets of clips, and the protocol to report with it.

    With fewer clips than the features have dimensions (400), FVD is far above its value for many
    clips: compare only numbers of the same protocol.

    Args:
      first_videos, second_videos: the two sets; sizes of frames may differ, T must not.
      resize, weights, batch, progress: options of `i3d_logits`.

    Returns:
      The distance, and its protocol: N of each set, T, sizes, resize rule, features, divisor.

    Raises:
      FileNotFoundError: the checkpoint of I3D is not installed.
      ValueError: sets of another type or shape, of different T, or of fewer than two clips.
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
    protocol = {
        "N": [len(first), len(second)],
        "T": first_videos.shape[1],
        "sizes": [list(videos.shape[2:4]) for videos in (first_videos, second_videos)],
        **features_protocol(resize),
    }
    return frechet_distance(first, second), protocol


def features_protocol(resize: Rule) -> dict[str, str]:
    """Return the part of a protocol that `i3d_logits` and `frechet_distance` decide."""
    return {
        "resize": f"{resize} to 224×224",
        "features": "I3D Kinetics-400 logits, mean over time",
        "divisor": "N-1",
    }
