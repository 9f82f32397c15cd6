"""How a stage works: what stands beside its weights in the model folder."""

from __future__ import annotations

import dataclasses
import typing

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.models.ssr import Upsampling
from lumiere_jax.structure import check_choice, check_fields, check_range


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageConfig:
    """How a stage was trained, and how it is sampled unless told otherwise.

    Attributes:
      diffusion: its schedule and prediction.
      sampler: default sampler.
      frames: of the clips that it was trained on; more are made window by window.
      size: pixels a side of its output.
      overlap: frames that neighbouring windows share (Lumiere, section 3.2: 2).
      window: frames of a window; `frames` when None.
      weights: of the windows' opinions: "uniform", "ramp" or "gaussian".
      group: windows denoised at a time.
      augmentation: noise level of the low-resolution clip, in [0, 1); level / 1000 of IF.
      upsampling: how the low-resolution clip is brought to `size`.
      factor: `size` over that of the low-resolution clips it was trained on; any when None.
      tile: pixels a side of the squares that frames are denoised in; whole frames when None.
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
        # Of clips: as for training data. Of the rest: what any accelerator can hold.
        pixels, frames = (8, 8192), (1, 1 << 16)
        whole = {"frames": frames, "window": frames, "size": pixels, "tile": pixels}
        whole |= {"overlap": (0, 1 << 16), "tile_overlap": (0, 8192)}
        # `diffusion` refuses a group of 0 and other kinds of `weights`, and names the flags.
        whole |= {"group": (0, 1 << 16), "factor": (1, 64)}
        check_fields(self, whole=whole)
        check_choice("upsampling", self.upsampling, typing.get_args(Upsampling))
        check_range("augmentation", self.augmentation, 0, 0.999)  # at 1 only noise would be left
