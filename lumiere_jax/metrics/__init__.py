"""Metrics: FVD's distance, prompt accuracy by measurement, and numbers that need no weights."""

from lumiere_jax.metrics.frechet import frechet_distance
from lumiere_jax.metrics.pixels import (
    first_frame_psnr,
    motion_magnitude,
    psnr,
    temporal_flicker,
    window_seam_energy,
)
from lumiere_jax.metrics.shapes import Measured, measure_scene, prompt_accuracy

__all__ = [
    "Measured",
    "first_frame_psnr",
    "frechet_distance",
    "measure_scene",
    "motion_magnitude",
    "prompt_accuracy",
    "psnr",
    "temporal_flicker",
    "window_seam_energy",
]
