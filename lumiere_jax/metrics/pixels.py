"""Numbers that need no network: fidelity where the truth is known, and steadiness in time.

Videos are uint8 [t, h, w, 3]; differences are in grey levels, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8


def psnr(
    video: UInt8[np.ndarray, "t h w 3"],
    truth: UInt8[np.ndarray, "t h w 3"],
    mask: Bool[np.ndarray, "t h w"] | None = None,
) -> float:
    """Peak signal-to-noise ratio in dB, 10 log₁₀(255² / mean squared error); ∞ where equal.

    Args:
      video: what was made.
      truth: what it should be.
      mask: only these pixels count, such as those that inpainting had to keep.

    Raises:
      ValueError: the shapes differ, or no pixel counts.
    """
    _check_alike(video, truth)
    squared = (video.astype(np.float64) - truth) ** 2
    if mask is not None:
        if mask.shape != video.shape[:-1] or not mask.any():
            raise ValueError(
                f"mask: {list(mask.shape)} with {int(mask.sum())} pixels; expected "
                f"{list(video.shape[:-1])} with one at least"
            )
        squared = squared[mask]
    error = squared.mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def first_frame_psnr(
    video: UInt8[np.ndarray, "t h w 3"], image: UInt8[np.ndarray, "h w 3"]
) -> float:
    """How well image-to-video keeps its image, in dB."""
    return psnr(video[:1], image[None])


def temporal_flicker(video: UInt8[np.ndarray, "t h w 3"]) -> float:
    """Mean absolute difference of neighbouring frames."""
    return float(_differences(video).mean())


def motion_magnitude(video: UInt8[np.ndarray, "t h w 3"], threshold: float = 8.0) -> float:
    """Share of the pixels that change by more than `threshold` between neighbouring frames.

    Unlike flicker it does not count faint noise as motion.
    """
    return float((_differences(video).mean(-1) > threshold).mean())


def window_seam_energy(video: UInt8[np.ndarray, "t h w 3"], borders: Sequence[int]) -> float:
    """Frame difference across window borders over that inside the windows; 1 without seams.

    Args:
      video: sampled in windows.
      borders: frames at which a new window takes over: the difference of frames k − 1 and k.

    Raises:
      ValueError: a border lies outside the clip, or nothing is left inside the windows.
    """
    differences = _differences(video).mean((1, 2, 3))
    across = np.zeros(len(differences), bool)
    for border in borders:
        if not 1 <= border <= len(differences):
            raise ValueError(
                f"borders: {border} is no frame from 1 to {len(differences)} of {len(video)}"
            )
        across[border - 1] = True
    if across.all() or not across.any():
        raise ValueError(
            f"borders: {len(set(borders))} of {len(differences)}; some must be, not all"
        )
    inside = differences[~across].mean()
    if not inside:
        return 1.0 if not differences[across].any() else float("inf")
    return float(differences[across].mean() / inside)


def _differences(video: np.ndarray) -> np.ndarray:
    if video.ndim != 4 or len(video) < 2:
        raise ValueError(f"video: {list(video.shape)}; expected [t, h, w, 3] of two or more frames")
    return np.abs(np.diff(video.astype(np.int16), axis=0))


def _check_alike(video: np.ndarray, truth: np.ndarray) -> None:
    if video.shape != truth.shape or video.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ValueError(
            f"video {video.dtype} {list(video.shape)} and truth {truth.dtype} "
            f"{list(truth.shape)}: expected uint8 of one shape"
        )
