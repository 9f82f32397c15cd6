"""What a U-Net is: the numbers that tell the image model, STUNet and SSR apart."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from lumiere_jax.structure import check_fields

# Each bound is several times what any published model of this kind has, and small enough that a
# network within all of them is described (not allocated) in seconds: a configuration comes from
# somebody else's file.
WIDTH = (1, 1 << 16)  # channels; IF-I-XL has 2,816, T5-XXL 4,096
HEADS = (1, 1024)  # heads of a layer, and channels of a head
LEVELS = 8  # seven resizes: multiples of 128 pixels
BLOCKS = 64  # on the way down in all; IF has 12
CHANNELS = (1, 512)  # of pixels
KERNEL = (1, 31)
SCALE = (1e-3, 1e3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemporalConfig:
    """How an image U-Net is inflated (Lumiere, section 3.1).

    Attributes:
      kernel: frames that a temporal convolution sees; odd.
      spatial_kernel: pixels that the inflation block's own 2-D convolution sees; odd.
      resize: for each spatial resize, finest first, whether time is halved (doubled) with it;
        all of them when None.
      attention_layers: L, temporal self-attention layers of a block at the coarsest level.
      head_dim: width of a temporal attention head.
      pattern: cosines over frames, height and width of a pattern that the text draws into the
        first features (`temporal.PatternInflation`; not in the paper); none when None.
    """

    kernel: int = 3
    spatial_kernel: int = 3
    resize: tuple[bool, ...] | None = None
    attention_layers: int = 2
    head_dim: int = 64
    pattern: tuple[int, int, int] | None = None

    def __post_init__(self):
        check_fields(
            self,
            whole={
                "kernel": KERNEL,
                "spatial_kernel": KERNEL,
                "attention_layers": (0, 16),
                "head_dim": HEADS,
                "pattern": (1, 64),
            },
        )
        for name in ("kernel", "spatial_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"temporal.{name}={getattr(self, name)} must be odd, say 3")
        if self.pattern is not None and len(self.pattern) != 3:
            raise ValueError(
                f"temporal.pattern={self.pattern}: give the number of cosines over frames, height "
                "and width, say (4, 4, 4), or None"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The one U-Net; its defaults are those of Imagen and DeepFloyd IF, stage I.

    Attributes:
      channels: of each level, finest first (not multipliers).
      blocks: residual blocks of each level on the way down; one more each on the way up.
      attention: whether the blocks of each level are followed by spatial attention.
      self_attention: pixels attend to their frame and the text; to the text alone when False, so
        that without text nothing attends, in the middle neither.
      head_dim: width of a spatial attention head.
      groups: of every GroupNorm but the one over the text, which has 32.
      epsilon: of every GroupNorm but those of spatial attention, which have 1e-5.
      activation: "gelu" (exact) or "silu".
      in_channels: of the video; the low-resolution clip's are added to them.
      out_channels: of the raw output; twice in_channels where the variance is learned.
      text_dim: width of the text embedding; a model without text when None.
      cross_dim: width to which text is projected for attention; text_dim when None.
      pool_heads: heads of the pooling that puts the text into the time embedding.
      text_mask: heed the text's padding mask. IF sees its padding (False).
      time_embedding_dim: width of the time embedding; 4 × channels[0] when None.
      block_time_activation: an activation before each block's time projection (stage I).
      embedding_activation: an activation on the summed time embedding (stage II).
      residual_scale: the sum of a residual block is divided by it (stage II: 1.41423).
      middle_residual_scale: the same for the two blocks in the middle; residual_scale when None.
      low_resolution: an upsampled low-resolution clip is concatenated to the video.
      augmentation: the noise level of that clip is embedded like a time.
      observed: a zero-started convolution `observation` reads an observed video and its mask.
      patch: pixels a side that are folded into channels before the first convolution and unfolded
        after the last (space-to-depth), for large frames.
      bypass: what is smooth in the low-resolution clip reaches the output past the network, see
        `layers.Bypass`: a fresh network interpolates. For clean predictions behind a large patch,
        whose few channels are then left for what interpolation misses.
      temporal: how it is inflated; an image model when None.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    attention: tuple[bool, ...]
    self_attention: bool = True
    head_dim: int = 64
    groups: int = 32
    epsilon: float = 1e-5
    activation: Literal["gelu", "silu"] = "gelu"
    in_channels: int = 3
    out_channels: int = 3
    text_dim: int | None = None
    cross_dim: int | None = None
    pool_heads: int = 64
    text_mask: bool = False
    time_embedding_dim: int | None = None
    block_time_activation: bool = True
    embedding_activation: bool = False
    residual_scale: float = 1.0
    middle_residual_scale: float | None = None
    low_resolution: bool = False
    augmentation: bool = False
    observed: bool = False
    patch: int = 1
    bypass: bool = False
    temporal: TemporalConfig | None = None

    def __post_init__(self):
        if self.cross_dim is None and self.text_dim is not None:
            object.__setattr__(self, "cross_dim", self.text_dim)
        levels = len(self.channels)
        self._check_levels(levels)
        self._check_ranges()
        self._check_divisions()
        self._check_bypass()
        if self.temporal is not None and self.temporal.pattern and self.text_dim is None:
            raise ValueError("temporal.pattern is drawn by text: it needs model.text_dim, or None")
        resize = self.temporal.resize if self.temporal else None
        if resize is not None and len(resize) != levels - 1:
            raise ValueError(
                f"temporal.resize has {len(resize)} entries; {levels} levels have {levels - 1} "
                "spatial resizes"
            )

    def _check_bypass(self) -> None:
        if self.bypass and not self.low_resolution:
            raise ValueError("model.bypass=True needs model.low_resolution=True to pass through")

    def _check_levels(self, levels: int) -> None:
        if not 1 <= levels <= LEVELS:
            raise ValueError(f"channels={self.channels!s:.80}: give them for 1 to {LEVELS} levels")
        for name in ("blocks", "attention"):
            if len(getattr(self, name)) != levels:
                raise ValueError(
                    f"model.{name} has {len(getattr(self, name))} entries; "
                    f"model.channels has {levels}: give one a level"
                )

    def _check_ranges(self) -> None:
        widths = ("channels", "text_dim", "cross_dim", "time_embedding_dim")
        whole = dict.fromkeys(widths, WIDTH) | dict.fromkeys(("head_dim", "pool_heads"), HEADS)
        whole |= dict.fromkeys(("in_channels", "out_channels"), CHANNELS)
        whole |= {"blocks": (1, BLOCKS), "groups": (1, 1024), "patch": (1, 64)}
        ranges = dict.fromkeys(("residual_scale", "middle_residual_scale"), SCALE)
        check_fields(self, whole=whole, ranges=ranges | {"epsilon": (1e-12, 1)})
        if sum(self.blocks) > BLOCKS:
            raise ValueError(f"blocks={self.blocks} are more than {BLOCKS} in all")

    def _check_divisions(self) -> None:
        attended = [c for c, has in zip(self.channels, self.attention) if has]
        attended.append(self.channels[-1])
        checks = [("channels", c, "groups", self.groups) for c in self.channels]
        checks += [("channels", c, "head_dim", self.head_dim) for c in attended]
        if self.text_dim is not None:
            checks += [("cross_dim", self.cross_dim, "32 groups of the text norm", 32)]
            checks += [("text_dim", self.text_dim, "pool_heads", self.pool_heads)]
        if self.temporal is not None:
            head_dim = self.temporal.head_dim
            checks += [("channels", self.channels[-1], "temporal.head_dim", head_dim)]
        for name, value, by, divisor in checks:
            if value % divisor:
                raise ValueError(
                    f"model.{name}: {value} is not divisible by {by}={divisor}; "
                    f"{math.ceil(value / divisor) * divisor} is"
                )

    @property
    def time_width(self) -> int:
        """Width of the time embedding."""
        return self.time_embedding_dim or 4 * self.channels[0]

    @property
    def temporal_resize(self) -> tuple[bool, ...]:
        """For each spatial resize, whether time is resized with it."""
        resizes = len(self.channels) - 1
        if self.temporal is None:
            return (False,) * resizes
        return self.temporal.resize if self.temporal.resize is not None else (True,) * resizes

    @property
    def temporal_factor(self) -> int:
        """The number of frames must be divisible by this; 1 for an image model."""
        return 2 ** sum(self.temporal_resize)

    @property
    def spatial_factor(self) -> int:
        """Height and width must be divisible by this."""
        return self.patch * 2 ** (len(self.channels) - 1)
