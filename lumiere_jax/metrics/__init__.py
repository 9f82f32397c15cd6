"""Metrics: FVD, and metrics that need no network.

The functions that run I3D need JAX and are imported on first use; all others work without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lumiere_jax.metrics.frechet import frechet_distance
from lumiere_jax.metrics.pixels import (
    first_frame_psnr,
    motion_magnitude,
    psnr,
    temporal_flicker,
    window_seam_energy,
)

if TYPE_CHECKING:
    from lumiere_jax.metrics.fvd import frechet_video_distance
    from lumiere_jax.metrics.i3d import i3d_logits

__all__ = [
    "first_frame_psnr",
    "frechet_distance",
    "frechet_video_distance",
    "i3d_logits",
    "motion_magnitude",
    "psnr",
    "temporal_flicker",
    "window_seam_energy",
]

_NEED_JAX = {"frechet_video_distance": "fvd", "i3d_logits": "i3d"}


def __getattr__(name: str) -> Any:
    if name in _NEED_JAX:
        return getattr(importlib.import_module(f"{__name__}.{_NEED_JAX[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
