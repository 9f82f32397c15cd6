"""The order of the denoiser wrappers: predict, guide, reconcile windows, threshold, hold.

Guidance has the same input as the network, one window. The consensus reconciles guided predictions.
Thresholding needs the whole clip, or each window would be scaled differently. Held pixels come
last, so that no other wrapper changes them.
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
    """Return the denoiser that a sampler runs.

    Args:
      predict: denoiser of one window, see `denoiser_from_network`.
      config: schedule and prediction of the network.
      sampler: guidance and thresholding.
      null: null text or negative prompt; needed unless the guidance scale is 1.
      window_plan: positions of the windows, see `windows`; the clip is not divided when None.
      window_weights: window weights of the clip's windows; uniform when None.
      texts: prompt of each window, [n, b, l, d]; the clip's for all of them when None.
      group: windows denoised at a time; tiles, where there are any.
      mesh_axis: mesh axis that groups of windows are divided over; none when None.
      tile_plan: positions of the tiles of each window, see `tiles`; whole frames when None.
      tile_weights: window weights over the rows and over the columns of tiles; uniform when None.
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
