"""What turns an image model into a video model: inflation blocks and temporal resizes.

Lumiere (arXiv 2401.12945), section 3.1 and figure 4. Every module here is the identity, or the
nearest-neighbour resize, when it is fresh: an inflated network starts as the image model.
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
    """A 1-D convolution over frames, of every pixel on its own.

    It runs as a 2-D convolution with a (k, 1) kernel over [b, t, h·w, c]: on an H100 that reaches
    557 TFLOP/s, a 3-D convolution with the same kernel 136.
    """

    def __init__(
        self, channels: int, size: int, *, stride: int = 1, identity: bool = False, dtype, rngs
    ):
        # Explicit padding: SAME pads an even length on the right only when it strides, and would
        # keep frames 1, 3, 5 … instead of 0, 2, 4 ….
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
    """Convolution-based inflation block, beside every spatial block but the coarsest (figure 4b).

    2-D convolution → norm, activation → 1-D temporal convolution → norm, activation → projection
    that starts at zero; the result is added to what the pre-trained layers put out.
    """

    def __init__(self, channels: int, config, *, dtype, rngs):
        temporal = config.temporal
        norm = dict(epsilon=config.epsilon, dtype=dtype, rngs=rngs)
        self.activate = ACTIVATIONS[config.activation]
        self.spatial = convolution(
            channels, channels, temporal.spatial_kernel, dtype=dtype, rngs=rngs
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
    zero; the result is added to what the pre-trained layers put out. Frames are told apart by
    sinusoids, so that a clip of another length needs no new parameters.
    """

    def __init__(self, channels: int, config, *, dtype, rngs):
        self.layers = config.temporal.attention_layers
        for index in range(self.layers):
            layer = FrameAttention(channels, config, dtype=dtype, rngs=rngs)
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
    """Adds a smooth pattern over space and time that words and diffusion time draw.

    Not in the paper. Its coefficients on products of cosines come from one hidden layer, the
    largest value of which over all tokens counts, and a projection that starts at zero. It is how a
    small model comes to expect what "moves left" means before anything is to be seen: in noise,
    convolutions know of a place or a moment only through their padding, and words that differ in
    nothing else are nearly one in the pooled text.
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
        """Adds the pattern to the first features `x`, of any number of frames and any size.

        Args:
          embedding: the network's time embedding, the pooled text in it.
          text: its tokens, projected for attention.
          mask: True at those that are not padding.
        """
        hidden = self.token(text) + self.time(self.activate(embedding))[:, None]
        where = mask[..., None] if self.masked and mask is not None else None
        # A text without tokens counts as -10, where the activations are flat.
        hidden = self.activate(jnp.max(hidden, 1, where=where, initial=-10.0))
        coefficients = self.projection(hidden).reshape(x.shape[0], *self.cosines, x.shape[-1])
        axes = (_cosines(n, k, x.dtype) for n, k in zip(x.shape[1:4], self.cosines))
        pattern = jnp.einsum("bklmc,tk,hl,wm->bthwc", coefficients, *axes)
        return x + pattern / math.sqrt(math.prod(self.cosines))


def _cosines(positions: int, count: int, dtype) -> Float[Array, "n k"]:
    """The first `count` functions of the discrete cosine transform, the constant first."""
    place = (jnp.arange(positions, dtype=widen(dtype)) + 0.5) / positions
    return jnp.cos(jnp.pi * place[:, None] * jnp.arange(count)).astype(dtype)


class FrameAttention(nnx.Module):
    """Residual self-attention over the frames of every pixel."""

    def __init__(self, channels: int, config, *, dtype, rngs):
        self.heads = channels // config.temporal.head_dim
        self.norm = GroupNorm(
            channels, config.groups, epsilon=config.epsilon, dtype=dtype, rngs=rngs
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
    """Halves the frames: a 1-D convolution of stride 2, started to keep frames 0, 2, 4 …"""

    def __init__(self, channels: int, config, *, dtype, rngs):
        self.conv = TemporalConv(
            channels, config.temporal.kernel, stride=2, identity=True, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t/2 h w c"]:
        return self.conv(x)


class TemporalUp(nnx.Module):
    """Doubles the frames: repeats each one, then a 1-D convolution that starts as the identity."""

    def __init__(self, channels: int, config, *, dtype, rngs):
        self.conv = TemporalConv(
            channels, config.temporal.kernel, identity=True, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b 2*t h w c"]:
        return self.conv(jnp.repeat(x, 2, axis=1))
