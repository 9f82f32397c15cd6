"""Modules that make a video model of an image model: inflation blocks and temporal resizes.

Lumiere (arXiv 2401.12945), section 3.1 and figure 4. Every module starts as the identity, or as the
nearest-neighbour resize: an inflated network starts as the image model.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from lumiere_jax.models import initializers
from lumiere_jax.models.attention import attend
from lumiere_jax.models.layers import (
    ACTIVATIONS,
    PLACEHOLDER,
    GroupNorm,
    convolution,
    linear,
    sinusoid,
    widen,
)


class TemporalConv(nnx.Module):
    """A 1-D convolution over the frames of every pixel.

    It runs as a 2-D convolution with a (k, 1) kernel over [b, t, h·w, c]: in a probe of the
    operation alone (not of a training step) on an H100 that reached 557 TFLOP/s, a 3-D convolution
    with the same kernel 136.
    """

    def __init__(
        self, channels: int, size: int, *, stride: int = 1, identity: bool = False, dtype, rngs
    ):
        # Explicit padding: SAME with a stride pads even lengths only on the right, and would keep
        # frames 1, 3, 5 … instead of 0, 2, 4 ….
        pad = size // 2
        self.conv = nnx.Conv(
            channels,
            channels,
            (size, 1),
            strides=(stride, 1),
            padding=((pad, pad), (0, 0)),
            **PLACEHOLDER,
            **initializers.metadata(
                initializers.identity_taps if identity else initializers.fan_in
            ),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b s h w c"]:
        b, t, h, w, c = x.shape
        return self.conv(x.reshape(b, t, h * w, c)).reshape(b, -1, h, w, c)


class ConvInflation(nnx.Module):
    """Convolution-based inflation block, after all spatial blocks but the coarsest (figure 4b).

    2-D convolution → norm, activation → 1-D temporal convolution → norm, activation → projection
    that starts at zero; the result is added to the output of the pre-trained layers.
    """

    def __init__(self, channels: int, config, *, dtype, rngs, rows: str | None = None):
        temporal = config.temporal
        norm = dict(epsilon=config.epsilon, dtype=dtype, rngs=rngs, rows=rows)
        self.activate = ACTIVATIONS[config.activation]
        self.spatial = convolution(
            channels, channels, temporal.spatial_kernel, dtype=dtype, rngs=rngs, rows=rows
        )
        self.norm_spatial = GroupNorm(channels, config.groups, **norm)
        self.frames = TemporalConv(channels, temporal.kernel, dtype=dtype, rngs=rngs)
        self.norm_frames = GroupNorm(channels, config.groups, **norm)
        self.projection = linear(channels, channels, dtype=dtype, rngs=rngs, zero=True)

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        h = self.activate(self.norm_spatial(self.spatial(x)))
        h = self.activate(self.norm_frames(self.frames(h)))
        return x + self.projection(h)


class AttentionInflation(nnx.Module):
    """Attention-based inflation block, at the coarsest level (figure 4c).

    L layers of self-attention over the frames of every pixel, then a projection that starts at
    zero; the result is added to the output of the pre-trained layers. The positions of frames are
    sinusoids, so that a clip of another length does not need new parameters.
    """

    def __init__(self, channels: int, config, *, dtype, rngs, rows: str | None = None):
        self.layers = config.temporal.attention_layers
        for index in range(self.layers):
            layer = FrameAttention(channels, config, dtype=dtype, rngs=rngs, rows=rows)
            setattr(self, f"layer_{index}", layer)
        self.projection = linear(channels, channels, dtype=dtype, rngs=rngs, zero=True)

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        frames, channels = x.shape[1], x.shape[-1]
        positions = sinusoid(jnp.arange(frames, dtype=widen(x.dtype)), channels)
        h = x + positions.astype(x.dtype)[:, None, None]
        for index in range(self.layers):
            h = getattr(self, f"layer_{index}")(h)
        return x + self.projection(h)


class PatternInflation(nnx.Module):
    """A smooth pattern over space and time that depends on the text and the diffusion time.

    Not in the paper. The pattern is a sum of products of cosines. Its coefficients come from a
    hidden layer, the maximum over all tokens, and a projection that starts at zero. With it a small
    model can represent "moves left" at high noise: there, convolutions know a pixel's place and
    time only through their padding, and texts that differ in one word are nearly equal when pooled.
    """

    def __init__(self, channels: int, config, *, dtype, rngs):
        self.cosines = config.temporal.pattern
        self.activate = ACTIVATIONS[config.activation]
        self.masked = config.text_mask
        width = config.time_width
        self.token = linear(config.cross_dim, width, dtype=dtype, rngs=rngs)
        self.time = linear(width, width, dtype=dtype, rngs=rngs)
        self.projection = linear(
            width, channels * math.prod(self.cosines), dtype=dtype, rngs=rngs, zero=True
        )

    def __call__(
        self,
        x: Float[Array, "b t h w c"],
        embedding: Float[Array, "b e"],
        text: Float[Array, "b l d"],
        mask: Bool[Array, "b l"] | None,
    ) -> Float[Array, "b t h w c"]:
        """Add the pattern to the network's first features.

        Args:
          x: features, of any number of frames and any size.
          embedding: network's time embedding, with the pooled text.
          text: tokens of the text, projected for attention.
          mask: True at tokens that are not padding; all when None.
        """
        hidden = self.token(text) + self.time(self.activate(embedding))[:, None]
        where = mask[..., None] if self.masked and mask is not None else None
        # -10 for a text without tokens: the activations are nearly 0 there.
        hidden = self.activate(jnp.max(hidden, 1, where=where, initial=-10.0))
        coefficients = self.projection(hidden).reshape(x.shape[0], *self.cosines, x.shape[-1])
        axes = (_cosines(n, k, x.dtype) for n, k in zip(x.shape[1:4], self.cosines))
        pattern = jnp.einsum("bklmc,tk,hl,wm->bthwc", coefficients, *axes)
        return x + pattern / math.sqrt(math.prod(self.cosines))


def _cosines(positions: int, count: int, dtype) -> Float[Array, "n k"]:
    """Return the first `count` functions of the discrete cosine transform, the constant first."""
    place = (jnp.arange(positions, dtype=widen(dtype)) + 0.5) / positions
    return jnp.cos(jnp.pi * place[:, None] * jnp.arange(count)).astype(dtype)


class FrameAttention(nnx.Module):
    """Residual self-attention over the frames of every pixel."""

    def __init__(self, channels: int, config, *, dtype, rngs, rows: str | None = None):
        self.heads = channels // config.temporal.head_dim
        self.norm = GroupNorm(
            channels, config.groups, epsilon=config.epsilon, dtype=dtype, rngs=rngs, rows=rows
        )
        self.query_key_value = linear(channels, 3 * channels, dtype=dtype, rngs=rngs)
        self.output = linear(channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        b, t, h, w, c = x.shape
        normed = jnp.moveaxis(self.norm(x).reshape(b, t, h * w, c), 1, 2)
        projected = self.query_key_value(normed).reshape(b * h * w, t, 3, self.heads, -1)
        out = attend(*(projected[:, :, i] for i in range(3)))
        out = jnp.moveaxis(self.output(out.reshape(b, h * w, t, c)), 1, 2)
        return x + out.reshape(x.shape)


class TemporalDown(nnx.Module):
    """A 1-D convolution of stride 2, which halves the frames; at first it keeps the even ones."""

    def __init__(self, channels: int, config, *, dtype, rngs):
        self.conv = TemporalConv(
            channels, config.temporal.kernel, stride=2, identity=True, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t//2 h w c"]:
        return self.conv(x)


class TemporalUp(nnx.Module):
    """Doubling of the frames by repetition, then a 1-D convolution that starts as the identity."""

    def __init__(self, channels: int, config, *, dtype, rngs):
        self.conv = TemporalConv(
            channels, config.temporal.kernel, identity=True, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b 2*t h w c"]:
        return self.conv(jnp.repeat(x, 2, axis=1))
