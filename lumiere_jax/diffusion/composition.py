"""The order in which the tricks apply: predict, guide, reconcile windows, threshold, hold.

Guidance sees what the network sees, one window. The consensus reconciles guided answers. The
threshold needs the whole clip, or windows would be scaled apart. Held pixels come last, so that
nothing moves them again.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.denoiser import hold
from lumiere_jax.diffusion.estimate import Denoise
from lumiere_jax.diffusion.guidance import guide
from lumiere_jax.diffusion.multidiffusion import Tiles, Windows
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.diffusion.thresholding import threshold
from lumiere_jax.diffusion.windowed import tiles, windows
from lumiere_jax.text.text import Text


def compose(
    predict: Denoise,
    config: DiffusionConfig,
    sampler: SamplerConfig,
    *,
    null: Text | None = None,
    window_plan: Windows | None = None,
    window_weights: Float[np.ndarray, "n t"] | None = None,
    texts: Text | None = None,
    group: int = 1,
    mesh_axis: str | None = None,
    tile_plan: Tiles | None = None,
    tile_weights: tuple[Float[np.ndarray, "n t"], Float[np.ndarray, "n t"]] | None = None,
) -> Denoise:
    """The denoiser that a sampler runs.

    Args:
      predict: see `denoiser_from_network`.
      config: the schedule, and what the network predicts.
      sampler: guidance and thresholding.
      null: null text or negative prompt; needed unless the guidance scale is 1.
      window_plan, window_weights, texts, group, mesh_axis: see `windows`; no windows when None.
      tile_plan: see `tiles`; they divide each window.
      tile_weights: of the rows and of the columns of tiles; uniform when None.
    """
    denoise = guide(
        predict,
        sampler.guidance_scale,
        null,
        interval=sampler.guidance_interval,
        rescale=sampler.guidance_rescale,
        config=config,
    )
    if tile_plan is not None:
        rows, columns = tile_weights or (None, None)
        denoise = tiles(denoise, tile_plan, group=group, row_weights=rows, column_weights=columns)
    if window_plan is not None:
        denoise = windows(
            denoise,
            window_plan,
            group=group if tile_plan is None else 1,
            weights=window_weights,
            texts=texts,
            mesh_axis=mesh_axis,
        )
    denoise = threshold(
        denoise, sampler.threshold, quantile=sampler.quantile, ceiling=sampler.ceiling
    )
    return hold(denoise, config)
