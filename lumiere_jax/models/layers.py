"""Layers of the spatial half of every network.

Activations are videos [b, t, h, w, c], also if t = 1: spatial layers treat frames as further
examples of the batch, and time and text have one entry per clip.

Where a mesh axis divides the height, `rows` names it, and three layers communicate: convolutions
take rows of their neighbours, group norms average their moments, self-attention gathers keys and
values. Everything else works on a device's own rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from lumiere_jax.models import initializers
from lumiere_jax.models.attention import attend
from lumiere_jax.parallel.collectives import with_neighbours

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    # Imagen and DeepFloyd IF use the exact erf form; the tanh form changes outputs by 1e-3.
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
}
Resize = Literal["down", "up"] | None
# Modules need only shapes: `Network.init` calls the initializers that their metadata names.
PLACEHOLDER = {"kernel_init": nnx.initializers.zeros_init()}


def widen(dtype: jnp.dtype) -> jnp.dtype:
    """Return the dtype for statistics and softmax: `dtype`, or float32 if that is wider."""
    return jnp.promote_types(dtype, jnp.float32)


class SpatialConv(nnx.Conv):
    """A convolution over height and width, with rows of the neighbours where `rows` divides them.

    Attributes:
      rows: mesh axis that the height is divided over; whole frames when None.
    """

    def __init__(self, *sizes, padding: int, rows: str | None, **options):
        vertical = 0 if rows else padding
        super().__init__(*sizes, padding=((vertical, vertical), (padding, padding)), **options)
        self.rows, self.halo = rows, padding

    def __call__(self, x):
        if self.rows and self.halo:
            x = with_neighbours(x, self.rows, x.ndim - 3, self.halo)
        return super().__call__(x)


def convolution(
    channels_in: int,
    channels_out: int,
    size: int,
    *,
    dtype,
    rngs,
    rows: str | None = None,
    zero: bool = False,
) -> SpatialConv:
    """Return a `size`×`size` convolution over height and width that does not change the size.

    Args:
      channels_in: channels of the input [..., h, w, c]; frames are further examples.
      channels_out: channels of the output.
      size: side of the kernel in pixels; odd.
      dtype: compute dtype.
      rngs: keys of the parameters.
      rows: mesh axis that the height is divided over; whole frames when None.
      zero: True for a kernel that starts at zero.
    """
    return SpatialConv(
        channels_in,
        channels_out,
        (size, size),
        padding=size // 2,
        rows=rows,
        **PLACEHOLDER,
        **initializers.metadata(initializers.zeros if zero else initializers.fan_in),
        dtype=dtype,
        rngs=rngs,
    )


def linear(channels_in: int, channels_out: int, *, dtype, rngs, zero: bool = False) -> nnx.Linear:
    """Return a dense layer over the last axis; its kernel starts at zero if `zero`."""
    return nnx.Linear(
        channels_in,
        channels_out,
        **PLACEHOLDER,
        **initializers.metadata(initializers.zeros if zero else initializers.fan_in),
        dtype=dtype,
        rngs=rngs,
    )


class GroupNorm(nnx.Module):
    """Group normalization (arXiv 1803.08494) of every frame, or of every text, separately.

    It computes the statistics of channels first and combines them for groups, so that
    normalizing, scaling and shifting are one multiplication and one addition per element.
    """

    def __init__(
        self,
        channels: int,
        groups: int,
        *,
        epsilon: float = 1e-5,
        dtype,
        rngs,
        rows: str | None = None,
    ):
        self.groups, self.epsilon, self.dtype, self.rows = groups, epsilon, dtype, rows
        self.scale = nnx.Param(jnp.ones((channels,)), initializer=initializers.ones)
        self.bias = nnx.Param(jnp.zeros((channels,)), initializer=initializers.zeros)

    def __call__(
        self,
        x: Float[Array, "..."],
        modulation: tuple[jax.Array, jax.Array] | None = None,
        mask: Bool[Array, "b l"] | None = None,
    ) -> Float[Array, "..."]:
        """Normalize each frame of videos, or each sequence.

        Args:
          x: videos [b, t, h, w, c], with statistics over h and w, or sequences [b, l, c], over l.
          modulation: scale and shift of the time embedding, [b, c] each: y · (1 + scale) + shift;
            for videos.
          mask: True for the positions of sequences that statistics include, [b, l]; all when None.
        """
        wide = x.astype(widen(self.dtype))
        axes = (2, 3) if x.ndim == 5 else (1,)
        weight = None if mask is None else jnp.broadcast_to(mask[..., None], x.shape)
        moments = jnp.stack(
            [jnp.mean(m, axes, keepdims=True, where=weight) for m in (wide, wide * wide)]
        )
        grouped = moments.reshape(*moments.shape[:-1], self.groups, -1).mean(-1)
        if self.rows and x.ndim == 5:  # texts are whole on every device
            grouped = jax.lax.pmean(grouped, self.rows)
        mean, square = jnp.repeat(grouped, x.shape[-1] // self.groups, axis=-1)
        inverse = jax.lax.rsqrt(jnp.maximum(square - mean * mean, 0) + self.epsilon)
        multiply = inverse * self.scale[...]
        add = self.bias[...] - mean * multiply
        if modulation is not None:
            scale, shift = (m.astype(wide.dtype)[:, None, None, None] for m in modulation)
            multiply, add = multiply * (1 + scale), add * (1 + scale) + shift
        return (wide * multiply + add).astype(self.dtype)


def resize_spatial(x: Float[Array, "b t h w c"], resize: Resize) -> Float[Array, "b t i j c"]:
    """Halve height and width by averaging 2×2 pixels, or double them by repetition."""
    b, t, h, w, c = x.shape
    if resize == "down":
        return x.reshape(b, t, h // 2, 2, w // 2, 2, c).mean((3, 5))
    if resize == "up":
        return jnp.repeat(jnp.repeat(x, 2, axis=2), 2, axis=3)
    return x


class ResidualBlock(nnx.Module):
    """The residual block of Imagen and IF, with scale and shift from the time embedding.

    A block that changes the resolution resizes before its first convolution.
    """

    def __init__(
        self,
        channels_in,
        channels_out,
        config,
        *,
        resize: Resize = None,
        dtype,
        rngs,
        rows: str | None = None,
    ):
        options = dict(dtype=dtype, rngs=rngs, rows=rows)
        norm = dict(epsilon=config.epsilon, **options)
        self.resize, self.residual_scale = resize, config.residual_scale
        self.activate = ACTIVATIONS[config.activation]
        self.activate_time = config.block_time_activation
        self.norm_in = GroupNorm(channels_in, config.groups, **norm)
        self.conv_in = convolution(channels_in, channels_out, 3, **options)
        self.time = linear(config.time_width, 2 * channels_out, dtype=dtype, rngs=rngs)
        self.norm_out = GroupNorm(channels_out, config.groups, **norm)
        self.conv_out = convolution(channels_out, channels_out, 3, **options, zero=True)
        self.skip = (
            convolution(channels_in, channels_out, 1, **options)
            if channels_in != channels_out
            else None
        )

    def __call__(
        self, x: Float[Array, "b t h w c"], embedding: Float[Array, "b e"]
    ) -> Float[Array, "b t i j k"]:
        h = self.activate(self.norm_in(x))
        h, x = resize_spatial(h, self.resize), resize_spatial(x, self.resize)
        h = self.conv_in(h)
        embedding = self.activate(embedding) if self.activate_time else embedding
        scale, shift = jnp.split(self.time(embedding), 2, axis=-1)
        h = self.activate(self.norm_out(h, (scale, shift)))
        h = self.conv_out(h)
        x = x if self.skip is None else self.skip(x)
        return (x + h) / self.residual_scale


class SpatialAttention(nnx.Module):
    """Attention of every pixel to its own frame and to the text, or to the text alone.

    Keys and values projected from the text are concatenated with those of the image (Imagen,
    section 2.3; `AttnAddedKVProcessor` in diffusers). Only this and the pooled vector in the time
    embedding depend on the text.
    """

    def __init__(self, channels: int, config, *, dtype, rngs, rows: str | None = None):
        # 1e-5 whatever the network's other norms have, as in diffusers for every checkpoint.
        norm = dict(epsilon=1e-5, dtype=dtype, rngs=rngs, rows=rows)
        self.rows = rows
        self.heads = channels // config.head_dim
        self.masked = config.text_mask
        self.norm = GroupNorm(channels, config.groups, **norm)
        self.query = linear(channels, channels, dtype=dtype, rngs=rngs)
        self.self_attention = config.self_attention
        if config.self_attention:
            self.key = linear(channels, channels, dtype=dtype, rngs=rngs)
            self.value = linear(channels, channels, dtype=dtype, rngs=rngs)
        self.reads_text = config.text_dim is not None
        if self.reads_text:
            # 32 groups whatever the network's other norms have, as in IF's checkpoints.
            self.text_norm = GroupNorm(config.cross_dim, 32, **norm)
            self.text_key = linear(config.cross_dim, channels, dtype=dtype, rngs=rngs)
            self.text_value = linear(config.cross_dim, channels, dtype=dtype, rngs=rngs)
        self.output = linear(channels, channels, dtype=dtype, rngs=rngs, zero=True)

    def __call__(
        self,
        x: Float[Array, "b t h w c"],
        text: Float[Array, "b l d"] | None,
        mask: Bool[Array, "b l"] | None,
    ) -> Float[Array, "b t h w c"]:
        b, t, h, w, c = x.shape
        mask = mask if self.masked else None
        normed = self.norm(x)
        # Without self-attention all frames of a clip have the same keys and can be one query axis.
        rows = (b * t, h * w) if self.self_attention else (b, t * h * w)
        query = self._split(self.query(normed).reshape(*rows, c))
        keys, values, lengths = [], [], None
        if self.self_attention:
            keys.append(self._whole(self._split(self.key(normed).reshape(*rows, c))))
            values.append(self._whole(self._split(self.value(normed).reshape(*rows, c))))
        if self.reads_text:
            # The text comes after the image's keys, so that its padding ends the sequence:
            # attention does not depend on the order, and kernels take a length, not a mask.
            text = self.text_norm(text, mask=mask)
            repeats = rows[0] // b
            keys.append(jnp.repeat(self._split(self.text_key(text)), repeats, axis=0))
            values.append(jnp.repeat(self._split(self.text_value(text)), repeats, axis=0))
            if mask is not None:
                image_keys = keys[0].shape[1] if self.self_attention else 0
                lengths = image_keys + jnp.repeat(mask.sum(-1), repeats, axis=0)
        out = attend(query, jnp.concatenate(keys, 1), jnp.concatenate(values, 1), lengths)
        return x + self.output(out.reshape(b, t, h, w, c))

    def _whole(self, x: Float[Array, "n s m d"]) -> Float[Array, "n p m d"]:
        """Return keys or values of all pixels of a frame, of which this device has some rows."""
        return jax.lax.all_gather(x, self.rows, axis=1, tiled=True) if self.rows else x

    def _split(self, x: Float[Array, "n s c"]) -> Float[Array, "n s m d"]:
        return x.reshape(*x.shape[:-1], self.heads, -1)


def sinusoid(position: Float[Array, "..."], width: int) -> Float[Array, "... d"]:
    """Return cosines, then sines, of positions at d/2 frequencies from 1 to 1e-4 (Transformer).

    Args:
      position: positions, any shape.
      width: number of cosines and sines, d.
    """
    half = width // 2
    frequencies = jnp.exp(-math.log(10_000) * jnp.arange(half) / half).astype(position.dtype)
    angles = position[..., None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)


class Bypass(nnx.Module):
    """Interpolation of the low-resolution clip, to be added to the network's output.

    The mean of each patch, scaled by the time embedding, then a convolution that starts as
    bilinear interpolation. The mean also removes most of the noise on the clip.
    """

    def __init__(self, config, *, dtype, rngs):
        self.patch = config.patch
        initializer = initializers.Interpolation(config.patch, config.out_channels)
        self.scale = linear(
            config.time_width, config.in_channels, dtype=dtype, rngs=rngs, zero=True
        )
        self.conv = nnx.Conv(
            config.in_channels,
            config.out_channels * config.patch**2,
            (3, 3),
            padding="VALID",
            **PLACEHOLDER,
            **initializers.metadata(initializer),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(
        self, clip: Float[Array, "b t h w c"], embedding: Float[Array, "b e"]
    ) -> Float[Array, "b t i j k"]:
        b, t, h, w, c = clip.shape
        p = self.patch
        small = clip.reshape(b, t, h // p, p, w // p, p, c).mean((3, 5))
        small = small * (1 + self.scale(embedding)[:, None, None, None])
        # Zeros around the frame would darken its border.
        return self.conv(jnp.pad(small, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), mode="edge"))


class TimeEmbedding(nnx.Module):
    """Two dense layers over the sinusoid of a time, or of an augmentation level, in [0, 1)."""

    def __init__(self, config, *, dtype, rngs):
        self.width, self.activate, self.dtype = (
            config.channels[0],
            ACTIVATIONS[config.activation],
            dtype,
        )
        self.linear_in = linear(self.width, config.time_width, dtype=dtype, rngs=rngs)
        self.linear_out = linear(config.time_width, config.time_width, dtype=dtype, rngs=rngs)

    def __call__(self, time: Float[Array, "b"]) -> Float[Array, "b e"]:
        # bfloat16 rounds neighbouring times to the same number: the sinusoid is at least float32.
        steps = time.astype(widen(self.dtype)) * 1000
        features = sinusoid(steps, self.width).astype(self.dtype)
        return self.linear_out(self.activate(self.linear_in(features)))


class TextPooling(nnx.Module):
    """Pooling of a text to one vector by attention of its mean to its tokens (Imagen, sec. 2.3)."""

    def __init__(self, config, *, dtype, rngs):
        width, self.heads, self.masked = config.text_dim, config.pool_heads, config.text_mask
        norm = dict(
            epsilon=1e-5,
            scale_metadata={"initializer": initializers.ones},
            bias_metadata={"initializer": initializers.zeros},
            dtype=dtype,
            rngs=rngs,
        )
        self.norm_in = nnx.LayerNorm(width, **norm)
        self.position = nnx.Param(jnp.zeros((width,)), initializer=initializers.Normal(width**-0.5))
        self.query = linear(width, width, dtype=dtype, rngs=rngs)
        self.key = linear(width, width, dtype=dtype, rngs=rngs)
        self.value = linear(width, width, dtype=dtype, rngs=rngs)
        self.output = linear(width, config.time_width, dtype=dtype, rngs=rngs)
        self.norm_out = nnx.LayerNorm(config.time_width, **norm)

    def __call__(
        self, text: Float[Array, "b l d"], mask: Bool[Array, "b l"] | None
    ) -> Float[Array, "b e"]:
        text = self.norm_in(text)
        mask = mask if self.masked else None
        where = None if mask is None else mask[..., None]
        mean = jnp.mean(text, 1, keepdims=True, where=where)
        mean = mean + self.position[...].astype(text.dtype)
        # The mean comes first, so that the padding is still at the end.
        tokens = jnp.concatenate([mean, text], 1)
        lengths = None if mask is None else 1 + mask.sum(-1)
        query, key, value = (
            layer(x).reshape(*x.shape[:-1], self.heads, -1)
            for layer, x in ((self.query, mean), (self.key, tokens), (self.value, tokens))
        )
        pooled = attend(query, key, value, lengths).reshape(mean.shape)[:, 0]
        return self.norm_out(self.output(pooled))
