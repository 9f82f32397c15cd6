"""Configuration of the U-Net, in which the image model, STUNet and SSR differ."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from lumiere_jax.structure import check_fields

# Each bound is several times that of any published model of this kind, and small enough that a
# network within all of them is described (not allocated) in seconds: the configuration may come
# from somebody else's file.
WIDTH = (1, 1 << 16)  # channels; IF-I-XL has 2,816, T5-XXL 4,096
HEADS = (1, 1024)  # heads of a layer; channels of a head
LEVELS = 8  # with seven resizes, sizes are multiples of 128 pixels
BLOCKS = 64  # sum over the levels on the way down; IF has 12
CHANNELS = (1, 512)  # of the input and the output
KERNEL = (1, 31)
SCALE = (1e-3, 1e3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemporalConfig:
    """Temporal half of an inflated image U-Net (Lumiere, section 3.1).

    Attributes:
      kernel: size of the temporal convolutions in frames; odd.
      spatial_kernel: size of the inflation blocks' 2-D convolutions in pixels; odd.
      resize: True for each spatial resize, finest first, that also halves or doubles the number of
        frames; all of them when None.
      attention_layers: number of temporal self-attention layers of a block at the coarsest level,
        L.
      head_dim: channels of a temporal attention head.
      pattern: numbers of cosines over frames, height and width of a pattern that the text adds to
        the first features (`temporal.PatternInflation`; not in the paper); no pattern when None.
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
    """Architecture of the U-Net; the defaults are those of Imagen and DeepFloyd IF, stage I.

    Attributes:
      channels: channels of each level, finest first (not multipliers).
      blocks: number of residual blocks of each level on the way down; one more on the way up.
      attention: True for each level whose blocks are followed by spatial attention.
      self_attention: True if pixels attend to their frame and the text, False to the text alone; a
        network of the latter kind without text has no attention at all.
      head_dim: channels of a spatial attention head.
      groups: number of groups of every GroupNorm but the one over the text, which has 32.
      epsilon: number added to the variance in every GroupNorm but those of spatial attention, which
        have 1e-5.
      activation: "gelu" (exact) or "silu".
      in_channels: channels of the video, without those of a low-resolution clip.
      out_channels: channels of the raw output; twice in_channels if the variance is learned.
      text_dim: channels of the text embedding; a model without text when None.
      cross_dim: channels of the text's projection for attention; text_dim when None.
      pool_heads: number of heads of the pooling that adds the text to the time embedding.
      text_mask: True to mask the text's padding. IF attends to its padding (False).
      time_embedding_dim: channels of the time embedding; 4 × channels[0] when None.
      block_time_activation: True for an activation before each block's time projection (stage I).
      embedding_activation: True for an activation of the summed time embedding (stage II).
      residual_scale: divisor of the sum in a residual block (stage II: 1.41423).
      middle_residual_scale: divisor in the two blocks in the middle; residual_scale when None.
      low_resolution: True to concatenate an upsampled low-resolution clip to the video.
      augmentation: True to embed the noise level of that clip like a time.
      observed: True for a convolution `observation`, zero at first, that reads an observed video
        and its mask.
      patch: side in pixels of the squares that are folded into channels before the first
        convolution and unfolded after the last (space-to-depth), for large frames.
      bypass: True to add an interpolation of the low-resolution clip to the output, see
        `layers.Bypass`: a fresh network then interpolates. For clean predictions with a large
        patch, whose few channels can then represent the difference to the interpolation.
      temporal: configuration of the temporal half; an image model when None.
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
            raise ValueError(
                "temporal.pattern depends on the text: it needs model.text_dim, or None"
            )
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
        """Return the number of channels of the time embedding."""
        return self.time_embedding_dim or 4 * self.channels[0]

    @property
    def temporal_resize(self) -> tuple[bool, ...]:
        """Return True for each spatial resize, finest first, that also resizes time."""
        resizes = len(self.channels) - 1
        if self.temporal is None:
            return (False,) * resizes
        return self.temporal.resize if self.temporal.resize is not None else (True,) * resizes

    @property
    def temporal_factor(self) -> int:
        """Return the divisor of all valid numbers of frames; 1 for an image model."""
        return 2 ** sum(self.temporal_resize)

    @property
    def spatial_factor(self) -> int:
        """Return the divisor of all valid heights and widths."""
        return self.patch * 2 ** (len(self.channels) - 1)
