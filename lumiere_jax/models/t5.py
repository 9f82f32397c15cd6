"""The T5 v1.1 encoder (also ByT5), which computes the text embedding of the U-Net from tokens.

Architecture: "Exploring the Limits of Transfer Learning" (arXiv 1910.10683) with the v1.1 changes
of "GLU Variants Improve Transformer" (arXiv 2002.05202): normalization before each layer, RMSNorm
without a mean, no biases, one table of relative-position biases for all blocks, no 1/√d in logits,
and a feed-forward layer gated by a tanh-form GELU.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from lumiere_jax.models import initializers
from lumiere_jax.models.gathering import WHOLE, run_module
from lumiere_jax.parallel.sharding import Layout
from lumiere_jax.structure import check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class T5Config:
    """Architecture of a T5 v1.1 encoder.

    Attributes:
      vocabulary_size: rows of the token embedding.
      width: channels of the residual stream and of the output, d.
      feed_forward: hidden channels of the gated feed-forward layer.
      heads: number of attention heads.
      layers: number of blocks.
      head_dim: channels of a head; heads × head_dim need not equal the width.
      buckets: rows of the relative-position table, half of them for each direction.
      max_distance: distance in tokens from which on all share the last bucket.
      norm_epsilon: number added to the mean square in RMSNorm.
    """

    vocabulary_size: int
    width: int
    feed_forward: int
    heads: int
    layers: int
    head_dim: int = 64
    buckets: int = 32
    max_distance: int = 128
    norm_epsilon: float = 1e-6

    def __post_init__(self):
        # Several times those of any published T5 (XXL: 4,096 wide, 24 layers; ByT5-XXL: 12,352
        # hidden, 36 layers; mT5: 250,112 tokens), so that no file can describe a network without
        # limit.
        heads = dict.fromkeys(("heads", "head_dim"), (1, 1024))
        check_fields(
            self,
            whole=heads
            | {
                "vocabulary_size": (2, 1 << 22),
                "width": (1, 1 << 16),
                "feed_forward": (1, 1 << 18),
                "layers": (1, 128),
                "buckets": (4, 4096),  # fewer: a direction without an exact bucket
                "max_distance": (2, 1 << 20),
            },
            ranges={"norm_epsilon": (1e-12, 1)},
        )
        if self.max_distance <= self.buckets // 4:
            raise ValueError(
                f"max_distance={self.max_distance} must exceed the {self.buckets // 4} distances "
                f"that have a bucket of their own; try {self.buckets * 4}"
            )

    @classmethod
    def preset(cls, name: str) -> T5Config:
        """Return the configuration of a published encoder, or of the demo's.

        Args:
          name: `small`, …, `xxl`, `byt5_small`, …, `byt5_xxl`, or `demo`.

        Raises:
          ValueError: no preset has this name.
        """
        if name not in _PRESETS:
            raise ValueError(f"no T5 preset {name!r}; one of {', '.join(_PRESETS)}")
        return cls(**_PRESETS[name])


def _sizes(vocabulary_size: int, width: int, feed_forward: int, heads: int, layers: int) -> dict:
    return {
        "vocabulary_size": vocabulary_size,
        "width": width,
        "feed_forward": feed_forward,
        "heads": heads,
        "layers": layers,
    }


_PRESETS = {
    "small": _sizes(32128, 512, 1024, 6, 8),
    "base": _sizes(32128, 768, 2048, 12, 12),
    "large": _sizes(32128, 1024, 2816, 16, 24),
    "xl": _sizes(32128, 2048, 5120, 32, 24),
    "xxl": _sizes(32128, 4096, 10240, 64, 24),
    "byt5_small": _sizes(384, 1472, 3584, 6, 12),
    "byt5_base": _sizes(384, 1536, 3968, 12, 18),
    "byt5_large": _sizes(384, 1536, 3840, 16, 36),
    "byt5_xl": _sizes(384, 2560, 6720, 32, 36),
    "byt5_xxl": _sizes(384, 4672, 12352, 64, 36),
    # Of bytes, and small enough to be trained from scratch on a laptop.
    "demo": {**_sizes(384, 64, 128, 4, 2), "head_dim": 16},
}


def relative_position_bucket(
    distance: Int[np.ndarray, "..."], buckets: int, max_distance: int
) -> Int[np.ndarray, "..."]:
    """Return the bucket of each signed distance `key position − query position`.

    Half of the buckets are for keys after the query. In each half, short distances have a bucket of
    their own and longer ones share logarithmic buckets up to `max_distance` (arXiv 1910.10683,
    section 2.1).
    """
    half = buckets // 2
    exact = half // 2
    magnitude = np.abs(distance)
    # In float32: the published models were trained with its rounding of the buckets' edges.
    ratio = np.maximum(magnitude, 1).astype(np.float32) / np.float32(exact)
    scale = np.float32(np.log(max_distance / exact))
    logarithmic = exact + (np.log(ratio) / scale * np.float32(half - exact)).astype(np.int32)
    inside = np.where(magnitude < exact, magnitude, np.minimum(logarithmic, half - 1))
    return (inside + half * (distance > 0)).astype(np.int32)


class RelativeBias(nnx.Module):
    """A learned number per head and relative-position bucket, added to every block's logits."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.buckets, self.max_distance = config.buckets, config.max_distance
        table = jnp.zeros((config.buckets, config.heads))
        self.embedding = nnx.Param(table, initializer=initializers.Normal(config.width**-0.5))

    def __call__(self, tokens: Int[Array, "b l"]) -> Float[Array, "heads l l"]:
        position = np.arange(tokens.shape[1])
        distance = position[None, :] - position[:, None]  # [query, key]
        bucket = relative_position_bucket(distance, self.buckets, self.max_distance)
        table = self.embedding[...]
        table = table.astype(jnp.promote_types(table.dtype, jnp.float32))
        return jnp.moveaxis(table[bucket], -1, 0)


def _linear(inputs: int, outputs: int, deviation: float, dtype: jnp.dtype, rngs: nnx.Rngs):
    """Return a linear layer without bias whose kernel starts with a given standard deviation."""
    return nnx.Linear(
        inputs,
        outputs,
        use_bias=False,
        kernel_init=nnx.initializers.zeros_init(),
        kernel_metadata={"initializer": initializers.Normal(deviation)},
        dtype=dtype,
        rngs=rngs,
    )


def _norm(config: T5Config, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.RMSNorm:
    return nnx.RMSNorm(
        config.width,
        epsilon=config.norm_epsilon,
        scale_metadata={"initializer": initializers.ones},
        dtype=dtype,
        rngs=rngs,
    )


class Attention(nnx.Module):
    """Self-attention with a position bias and no scaling of the logits; softmax in float32."""

    def __init__(self, config: T5Config, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        width, inner = config.width, config.heads * config.head_dim
        self.heads = config.heads
        self.norm = _norm(config, dtype, rngs)
        # The smaller initial query replaces 1/√d in the logits.
        query_deviation = (width * config.head_dim) ** -0.5
        self.query = _linear(width, inner, query_deviation, dtype, rngs)
        self.key = _linear(width, inner, width**-0.5, dtype, rngs)
        self.value = _linear(width, inner, width**-0.5, dtype, rngs)
        self.out = _linear(inner, width, inner**-0.5, dtype, rngs)

    def __call__(
        self,
        x: Float[Array, "b l d"],
        bias: Float[Array, "heads l l"],
        mask: Bool[Array, "b l"] | None,
    ) -> Float[Array, "b l d"]:
        hidden = self.norm(x)
        split = (*x.shape[:2], self.heads, -1)
        query, key, value = (
            layer(hidden).reshape(split) for layer in (self.query, self.key, self.value)
        )
        wide = jnp.promote_types(query.dtype, jnp.float32)
        logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=wide)
        logits = logits + bias
        if mask is not None:
            logits = jnp.where(mask[:, None, None, :], logits, jnp.finfo(wide).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
        return x + self.out(mixed.reshape(*x.shape[:2], -1))


class FeedForward(nnx.Module):
    """RMSNorm, then down(gelu(gate(x)) · up(x)), added to the input."""

    def __init__(self, config: T5Config, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        width, hidden = config.width, config.feed_forward
        self.norm = _norm(config, dtype, rngs)
        self.gate = _linear(width, hidden, width**-0.5, dtype, rngs)
        self.up = _linear(width, hidden, width**-0.5, dtype, rngs)
        self.down = _linear(hidden, width, hidden**-0.5, dtype, rngs)

    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        hidden = self.norm(x)
        return x + self.down(jax.nn.gelu(self.gate(hidden), approximate=True) * self.up(hidden))


class Block(nnx.Module):
    """Attention, then the feed-forward layer."""

    def __init__(self, config: T5Config, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.attention = Attention(config, dtype=dtype, rngs=rngs)
        self.feed_forward = FeedForward(config, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, bias: Array, mask: Array | None) -> Float[Array, "b l d"]:
        return self.feed_forward(self.attention(x, bias, mask))


class T5Encoder(nnx.Module):
    """Map from tokens to one vector per token, the text embedding.

    Args:
      config: architecture.
      dtype: compute dtype. bfloat16 works, float16 overflows in the larger sizes.
      remat: True to recompute each block in the backward pass.
      layout: storage of the parameters on a mesh.
      rngs: keys of the parameters.
    """

    def __init__(
        self,
        config: T5Config,
        *,
        dtype: jnp.dtype,
        remat: bool = False,
        layout: Layout = WHOLE,
        rngs: nnx.Rngs,
    ):
        self.layers, self.remat, self.layout, self.dtype = config.layers, remat, layout, dtype
        self.token_embedding = nnx.Embed(
            config.vocabulary_size,
            config.width,
            embedding_init=nnx.initializers.zeros_init(),
            embedding_metadata={"initializer": initializers.Normal(1.0)},
            dtype=dtype,
            rngs=rngs,
        )
        self.relative_bias = RelativeBias(config, rngs=rngs)
        for layer in range(config.layers):
            setattr(self, f"block_{layer}", Block(config, dtype=dtype, rngs=rngs))
        self.final_norm = _norm(config, dtype, rngs)

    def __call__(
        self, tokens: Int[Array, "b l"], mask: Bool[Array, "b l"] | None = None
    ) -> Float[Array, "b l d"]:
        """Return the text embedding at every position, padding included.

        Args:
          tokens: token ids, [b, l].
          mask: True at tokens that others attend to, [b, l]; all when None. Padded positions are
            computed too, since models like Imagen read them.
        """
        x = self._run("token_embedding", tokens)
        bias = self._run("relative_bias", tokens)
        mask = None if mask is None else mask.astype(bool)
        for layer in range(self.layers):
            x = self._run(f"block_{layer}", x, bias, mask, remat=self.remat)
        return self._run("final_norm", x)

    def _run(self, name: str, *inputs, remat: bool = False):
        """Call a module of this network, with its parameters gathered."""
        options = dict(layout=self.layout, dtype=self.dtype, remat=remat)
        return run_module(getattr(self, name), name, *inputs, **options)
