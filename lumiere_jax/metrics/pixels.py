"""Metrics that need no network: fidelity to a known truth, and steadiness in time.

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
    """Return the peak signal-to-noise ratio in dB, 10 log₁₀(255² / mean squared error).

    Infinity for equal videos.

    Args:
      video: clip to measure.
      truth: clip to compare it with.
      mask: True at the pixels that count, such as those that inpainting must keep; all when None.

    Raises:
      ValueError: the shapes differ, or the mask is empty.
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
    """Return the PSNR in dB of the first frame, which image-to-video must keep, to its image."""
    return psnr(video[:1], image[None])


def temporal_flicker(video: UInt8[np.ndarray, "t h w 3"]) -> float:
    """Return the mean absolute difference of neighbouring frames, in grey levels."""
    return float(_differences(video).mean())


def motion_magnitude(video: UInt8[np.ndarray, "t h w 3"], threshold: float = 8.0) -> float:
    """Return the fraction of pixels that change by more than `threshold` between frames.

    Unlike flicker it does not count faint noise as motion.
    """
    return float((_differences(video).mean(-1) > threshold).mean())


def window_seam_energy(video: UInt8[np.ndarray, "t h w 3"], borders: Sequence[int]) -> float:
    """Return the frame difference across window borders over that inside windows; 1 has no seams.

    Args:
      video: clip that was sampled in windows.
      borders: first frame k of every window but the first; its difference to frame k − 1 counts.

    Raises:
      ValueError: a border outside the clip, no border, or nothing but borders.
    """
    differences = _differences(video).mean((1, 2, 3))
    across = np.zeros(len(differences), bool)
    for border in borders:
        if not 1 <= border <= len(differences):
            raise ValueError(
                f"borders: {border} is outside [1, {len(differences)}] in {len(video)} frames"
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
