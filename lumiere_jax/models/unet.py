"""The U-Net of which image model, STUNet, image super-resolution and SSR are configurations.

Its spatial half is Imagen's (arXiv 2205.11487, appendix B) in the form that DeepFloyd IF published;
its temporal half, under the name `temporal` in the parameter tree, is Lumiere's.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from lumiere_jax.models.config import TemporalConfig, UNetConfig
from lumiere_jax.models.gathering import WHOLE, run_module
from lumiere_jax.models.layers import (
    ACTIVATIONS,
    Bypass,
    GroupNorm,
    ResidualBlock,
    SpatialAttention,
    TextPooling,
    TimeEmbedding,
    convolution,
    linear,
    widen,
)
from lumiere_jax.models.temporal import (
    AttentionInflation,
    ConvInflation,
    PatternInflation,
    TemporalDown,
    TemporalUp,
)
from lumiere_jax.parallel.collectives import own_rows, parts_along, whole_rows
from lumiere_jax.parallel.sharding import Layout
from lumiere_jax.text.text import Text

__all__ = ["TemporalConfig", "UNet", "UNetConfig"]

HEIGHT = 2  # axis of videos [b, t, h, w, c]


class Block(nnx.Module):
    """A residual block, attention, and the inflation block that follows the two."""

    def __init__(
        self,
        channels_in: int,
        level: int,
        config: UNetConfig,
        *,
        attention: bool,
        dtype,
        rngs,
        rows: str | None = None,
    ):
        options = dict(dtype=dtype, rngs=rngs, rows=rows)
        channels = config.channels[level]
        attention = attention and (config.self_attention or config.text_dim is not None)
        self.residual = ResidualBlock(channels_in, channels, config, **options)
        self.attention = SpatialAttention(channels, config, **options) if attention else None
        coarsest = level == len(config.channels) - 1
        inflation = AttentionInflation if coarsest else ConvInflation
        self.temporal = inflation(channels, config, **options) if config.temporal else None

    def __call__(self, x, embedding, text, mask):
        x = self.residual(x, embedding)
        if self.attention is not None:
            x = self.attention(x, text, mask)
        return x if self.temporal is None else self.temporal(x)


class ResizeBlock(nnx.Module):
    """A residual block that halves or doubles height and width, then the temporal resize."""

    def __init__(
        self, level: int, config: UNetConfig, *, resize, dtype, rngs, rows: str | None = None
    ):
        options = dict(dtype=dtype, rngs=rngs)
        channels = config.channels[level]
        self.residual = ResidualBlock(
            channels, channels, config, resize=resize, rows=rows, **options
        )
        finer = level if resize == "down" else level - 1
        temporal = TemporalDown if resize == "down" else TemporalUp
        resized = config.temporal_resize[finer]
        self.temporal = temporal(channels, config, **options) if resized else None

    def __call__(self, x, embedding):
        x = self.residual(x, embedding)
        return x if self.temporal is None else self.temporal(x)


class UNet(nnx.Module):
    """Map from a noisy video and its conditions to the raw output of `config.out_channels`."""

    def __init__(
        self,
        config: UNetConfig,
        *,
        dtype,
        remat: bool = False,
        layout: Layout = WHOLE,
        rngs: nnx.Rngs,
    ):
        self.config, self.dtype, self.remat, self.layout = config, dtype, remat, layout
        options = dict(dtype=dtype, rngs=rngs)
        self._build_embeddings(options)
        options["rows"] = layout.rows
        area = config.patch**2
        inputs = config.in_channels * (2 if config.low_resolution else 1)
        self.conv_in = convolution(inputs * area, config.channels[0], 3, **options)
        if config.observed:
            observed = (config.in_channels + 1) * area
            self.observation = convolution(observed, config.channels[0], 3, **options, zero=True)
        pattern = config.temporal is not None and config.temporal.pattern is not None
        self.temporal = (
            PatternInflation(config.channels[0], config, dtype=dtype, rngs=rngs)
            if pattern
            else None
        )
        skips = self._build_down(options)
        self._build_up(skips, options)
        self.norm_out = GroupNorm(
            config.channels[0], config.groups, epsilon=config.epsilon, **options
        )
        self.conv_out = convolution(
            config.channels[0], config.out_channels * area, 3, **options, zero=True
        )
        if config.bypass:
            self.bypass = Bypass(config, dtype=dtype, rngs=rngs)

    def _build_embeddings(self, options) -> None:
        config = self.config
        self.time = TimeEmbedding(config, **options)
        if config.augmentation:
            self.augmentation = TimeEmbedding(config, **options)
        if config.text_dim is not None:
            self.text_pooling = TextPooling(config, **options)
            self.text_projection = linear(config.text_dim, config.cross_dim, **options)

    def _build_down(self, options) -> list[int]:
        """Add the downward path and the middle; return the channels of every skip, in order."""
        config, channels = self.config, self.config.channels[0]
        skips = [channels]
        for level, width in enumerate(config.channels):
            for index in range(config.blocks[level]):
                block = Block(channels, level, config, attention=config.attention[level], **options)
                setattr(self, f"down_{level}_block_{index}", block)
                channels = width
                skips.append(channels)
            if level < len(config.channels) - 1:
                setattr(
                    self,
                    f"down_{level}_resize",
                    ResizeBlock(level, config, resize="down", **options),
                )
                skips.append(channels)
        if config.middle_residual_scale is not None:
            config = dataclasses.replace(config, residual_scale=config.middle_residual_scale)
        self.middle_block_0 = Block(channels, level, config, attention=True, **options)
        self.middle_block_1 = Block(channels, level, config, attention=False, **options)
        return skips

    def _build_up(self, skips: list[int], options) -> None:
        config, channels = self.config, self.config.channels[-1]
        for level in reversed(range(len(config.channels))):
            for index in range(config.blocks[level] + 1):
                block = Block(
                    channels + skips.pop(),
                    level,
                    config,
                    attention=config.attention[level],
                    **options,
                )
                setattr(self, f"up_{level}_block_{index}", block)
                channels = config.channels[level]
            if level > 0:
                setattr(
                    self, f"up_{level}_resize", ResizeBlock(level, config, resize="up", **options)
                )

    def __call__(
        self,
        video: Float[Array, "b t h w c"],
        time: Float[Array, "b"],
        text: Text | None = None,
        *,
        low_resolution: Float[Array, "b t h w c"] | None = None,
        augmentation: Float[Array, "b"] | None = None,
        observed: Float[Array, "b t h w c"] | None = None,
        mask: Float[Array, "b t h w 1"] | None = None,
    ) -> Float[Array, "b t h w k"]:
        """Return the raw output for a noisy clip.

        Args:
          video: noisy clip, in units of the data's [−1, 1]; t = 1 for an image.
          time: diffusion time in [0, 1), 0 is clean; IF's timestep k is k / 1000.
          text: embedding [b, l, text_dim] and mask [b, l]; required if the model reads text.
          low_resolution: clip to be refined, already upsampled to h×w and noised.
          augmentation: noise level of the low-resolution clip, in [0, 1); IF's level k is k / 1000.
          observed: observed video, 0 outside the mask.
          mask: 1 for observed pixels, 0 for others; none are observed when both are None.

        Raises:
          ValueError: the resizes do not divide the frames, height or width, or an input is missing
            or not one of this configuration.
        """
        config = self.config
        self._check(video, text, low_resolution, augmentation, observed, mask)
        # float32 may only be narrowed after the time embedding (see TimeEmbedding).
        embedding = self._embed(time, text, augmentation)
        context, context_mask = None, None
        if config.text_dim is not None:
            context, context_mask = self._run("text_projection", text.embedding), text.mask
        video, low_resolution, observed, mask = map(
            self._own_rows, (video, low_resolution, observed, mask)
        )
        inputs = [video] if low_resolution is None else [video, low_resolution]
        x = self._run("conv_in", self._fold(inputs))
        if config.observed:
            x = x + self._observe(video, observed, mask)
        if self.temporal is not None:
            x = self._run("temporal", x, embedding, context, context_mask)
        x = self._down_and_up(x, embedding, context, context_mask)
        x = ACTIVATIONS[config.activation](self._run("norm_out", x))
        x = self._run("conv_out", x)
        if config.bypass:
            x = x + self._run("bypass", low_resolution.astype(self.dtype), embedding)
        x = self._unfold(x).astype(widen(self.dtype))
        return x if self.layout.rows is None else whole_rows(x, self.layout.rows, HEIGHT)

    def _run(self, name: str, *inputs, remat: bool = False):
        """Call a module of this network, with its parameters gathered."""
        options = dict(layout=self.layout, dtype=self.dtype, remat=remat)
        return run_module(getattr(self, name), name, *inputs, **options)

    def _own_rows(self, x: jax.Array | None) -> jax.Array | None:
        if x is None or self.layout.rows is None:
            return x
        return own_rows(x, self.layout.rows, HEIGHT)

    def _observe(self, video, observed, mask) -> Float[Array, "b t h w e"]:
        if observed is None:
            # Zeros, as in training: without the convolution its bias would be missing.
            observed = jnp.zeros_like(video)
            mask = observed[..., :1]
        # Callers may pass other values outside the mask.
        return self._run("observation", self._fold([observed * mask, mask]))

    def _embed(self, time, text: Text | None, augmentation) -> Float[Array, "b e"]:
        embedding = self._run("time", time)
        if self.config.augmentation:
            embedding = embedding + self._run("augmentation", augmentation)
        if self.config.text_dim is not None:
            embedding = embedding + self._run("text_pooling", text.embedding, text.mask)
        if self.config.embedding_activation:
            embedding = ACTIVATIONS[self.config.activation](embedding)
        return embedding

    def _down_and_up(self, x, embedding, context, mask):
        levels = range(len(self.config.channels))

        def block(name: str, x):
            return self._run(name, x, embedding, context, mask, remat=self.remat)

        def resize(name: str, x):
            return self._run(name, x, embedding, remat=self.remat)

        skips = [x]
        for level in levels:
            for index in range(self.config.blocks[level]):
                x = block(f"down_{level}_block_{index}", x)
                skips.append(x)
            if level < levels[-1]:
                # The skip starts after the temporal resize, so that its frames fit on the way up.
                x = resize(f"down_{level}_resize", x)
                skips.append(x)
        x = block("middle_block_1", block("middle_block_0", x))
        for level in reversed(levels):
            for index in range(self.config.blocks[level] + 1):
                x = block(f"up_{level}_block_{index}", jnp.concatenate([x, skips.pop()], -1))
            if level > 0:
                x = resize(f"up_{level}_resize", x)
        return x

    def _fold(self, inputs: list[jax.Array]) -> Float[Array, "b t i j k"]:
        """Concatenate, and move patches of pixels into channels (space-to-depth)."""
        x = jnp.concatenate([x.astype(self.dtype) for x in inputs], -1)
        p = self.config.patch
        b, t, h, w, c = x.shape
        x = x.reshape(b, t, h // p, p, w // p, p, c)
        return x.transpose(0, 1, 2, 4, 3, 5, 6).reshape(b, t, h // p, w // p, p * p * c)

    def _unfold(self, x: jax.Array) -> Float[Array, "b t h w k"]:
        """Return the inverse of `_fold`, with `config.out_channels` (depth-to-space)."""
        p = self.config.patch
        b, t, h, w, _ = x.shape
        x = x.reshape(b, t, h, w, p, p, self.config.out_channels)
        return x.transpose(0, 1, 2, 4, 3, 5, 6).reshape(b, t, h * p, w * p, -1)

    def _check(self, video, text, low_resolution, augmentation, observed, mask) -> None:
        config = self.config
        frames, height, width = video.shape[1:4]
        if frames % config.temporal_factor:
            raise ValueError(
                f"{frames} frames are not divisible by the temporal factor "
                f"{config.temporal_factor}: take {_nearest(frames, config.temporal_factor)}, or "
                "run single images through the spatial half (models.stunet.spatial_half)"
            )
        for name, size in (("height", height), ("width", width)):
            if size % config.spatial_factor:
                raise ValueError(
                    f"{name} {size} is not divisible by the spatial factor "
                    f"{config.spatial_factor}: take {_nearest(size, config.spatial_factor)}"
                )
        self._check_rows(height)
        _check_given("text", text, config.text_dim is not None, required=True)
        _check_given("low_resolution", low_resolution, config.low_resolution, required=True)
        _check_given("augmentation", augmentation, config.augmentation, required=True)
        _check_given("observed", observed, config.observed, required=False)
        if (observed is None) != (mask is None):
            raise ValueError("observed and mask belong together: give both or neither")

    def _check_rows(self, height: int) -> None:
        """Raise a ValueError unless the devices along the axis of rows can divide the height."""
        if self.layout.rows is None:
            return
        parts, coarsest = parts_along([self.layout.rows]), height // self.config.spatial_factor
        if coarsest % parts:
            raise ValueError(
                f"--config.mesh.{self.layout.rows}={parts} does not divide the {coarsest} rows "
                f"that frames of {height} pixels have at the coarsest level; "
                f"use a divisor of {coarsest}"
            )
        if self.config.bypass or self.temporal is not None:
            setting = "bypass" if self.config.bypass else "temporal.pattern"
            raise ValueError(
                f"--config.mesh.{self.layout.rows}={parts}: a model with {setting} needs whole "
                f"frames; set --config.mesh.{self.layout.rows}=1"
            )


def _nearest(size: int, factor: int) -> int:
    return max(factor, round(size / factor) * factor)


def _check_given(name: str, value, taken: bool, *, required: bool) -> None:
    if value is not None and not taken:
        raise ValueError(f"{name} was given, but this model's configuration takes none")
    if value is None and taken and required:
        raise ValueError(f"this model's configuration needs {name}, and none was given")
