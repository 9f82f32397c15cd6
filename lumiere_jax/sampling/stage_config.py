"""Configuration of a stage, which the model folder stores beside its parameters."""

from __future__ import annotations

import dataclasses
import typing

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.models.ssr import Upsampling
from lumiere_jax.structure import check_choice, check_fields, check_range


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageConfig:
    """Schedule and prediction of a trained stage, and its defaults in sampling.

    Attributes:
      diffusion: schedule and prediction of the network.
      sampler: default sampler.
      frames: frames of the training clips; longer clips are denoised window by window.
      size: pixels per side of the output.
      overlap: frames that neighbouring windows share (Lumiere, section 3.2: 2).
      window: frames of a window; `frames` when None.
      weights: kind of window weights, "uniform", "ramp" or "gaussian", see
        `diffusion.window_weights`.
      group: number of windows denoised at a time.
      augmentation: noise level of the low-resolution clip, in [0, 1); level / 1000 of IF.
      upsampling: interpolation of the low-resolution clip to `size`, see `models.ssr.upsample`.
      factor: `size` divided by the size of the low-resolution training clips; when None, clips of
        any size are refined.
      tile: pixels per side of the tiles that frames are denoised in; whole frames when None.
      tile_overlap: pixels that neighbouring tiles share.
    """

    diffusion: DiffusionConfig
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    frames: int
    size: int
    overlap: int = 2
    window: int | None = None
    weights: str = "uniform"
    group: int = 1
    augmentation: float = 0.2
    upsampling: Upsampling = "half_pixel"
    factor: int | None = None
    tile: int | None = None
    tile_overlap: int = 32

    def __post_init__(self):
        # Clips have the bounds of training data; the other bounds exceed any accelerator's memory.
        pixels, frames = (8, 8192), (1, 1 << 16)
        whole = {"frames": frames, "window": frames, "size": pixels, "tile": pixels}
        whole |= {"overlap": (0, 1 << 16), "tile_overlap": (0, 8192)}
        # `diffusion` refuses a group of 0 and invalid `weights` with messages that name the flags.
        whole |= {"group": (0, 1 << 16), "factor": (1, 64)}
        check_fields(self, whole=whole)
        check_choice("upsampling", self.upsampling, typing.get_args(Upsampling))
        check_range("augmentation", self.augmentation, 0, 0.999)  # at 1 only noise would be left
