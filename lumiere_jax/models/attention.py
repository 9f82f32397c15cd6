"""Multi-head attention with the fastest kernel, over keys whose last ones may be padding.

Scores [n, m, q, k] in float32 can be the largest array of a network: 20 frames of 32×32 pixels with
16 heads and 128 tokens have 1.4 GiB. Where they would be large they are never whole: on a TPU the
flash kernel that JAX ships runs (Dao et al., arXiv 2205.14135), elsewhere a few rows at a time.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# XLA's own attention is faster for few keys, the fused kernel for many. In a probe of the operation
# alone (not of a training step) on an H100, XLA and the fused kernel reached 8.0 and 5.0 TFLOP/s
# with 20 keys, 52 and 268 with 1024.
FUSED_KEYS = 256
SCORES = 1 << 26  # bytes of scores that may be in memory at once
FLASH_BLOCK = 128  # the flash kernel takes multiples of it, queries and keys
FLASH_BLOCKS = (512, 384, 256, 128)  # sizes of its blocks, the largest that divides


def attend(
    query: Float[Array, "n q m d"],
    key: Float[Array, "n k m d"],
    value: Float[Array, "n k m d"],
    lengths: Int[Array, "n"] | None = None,
) -> Float[Array, "n q m d"]:
    """Return softmax(query · keyᵀ / √d) · value for each head m, the softmax in float32 or wider.

    Args:
      query: queries [n, q, m, d]: rows, positions, heads, channels of a head.
      key: keys [n, k, m, d].
      value: values [n, k, m, d].
      lengths: number of keys of each row, [n]; later keys are padding. All keys when None.
    """
    if _fusable(query, key):
        return _fused(query, key, value, lengths)
    if _score_bytes(query, key) <= SCORES:
        return _plain(query, key, value, lengths)
    if lengths is None:
        lengths = jnp.full(len(key), key.shape[1])
    # By the platform that a program is compiled for, which may not be the one that traces it. The
    # backward pass computes the scores again, and keeps nothing but the arguments.
    branches = {"default": _in_chunks}
    if _flashable(query, key):
        branches["tpu"] = _flash
    choose = functools.partial(
        jax.lax.platform_dependent,
        **{name: jax.checkpoint(branch) for name, branch in branches.items()},
    )
    return choose(query, key, value, lengths)


def _plain(query, key, value, lengths):
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("nqmd,nkmd->nmqk", query, key, preferred_element_type=wide)
    scores = scores * query.shape[-1] ** -0.5
    if lengths is not None:
        counts = jnp.arange(key.shape[1]) < lengths[:, None]
        scores = jnp.where(counts[:, None, None], scores, jnp.finfo(wide).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("nmqk,nkmd->nqmd", weights, value)


def _score_bytes(query: jax.Array, key: jax.Array) -> int:
    n, q, m, _ = query.shape
    return n * m * q * key.shape[1] * jnp.promote_types(query.dtype, jnp.float32).itemsize


def _in_chunks(query, key, value, lengths):
    """Compute as many rows at a time as SCORES allows, or for some queries of a single row."""
    of_row = _score_bytes(query[:1], key[:1])
    parts = math.ceil(of_row / SCORES)
    each = math.ceil(query.shape[1] / parts)

    @jax.checkpoint
    def attend_row(row):
        query, key, value, length = row
        rows = key[None], value[None], length[None]

        def attend_part(part):
            return _plain(part[None], *rows)[0]

        if parts == 1:
            return attend_part(query)
        filled = jnp.pad(query, ((0, parts * each - len(query)), (0, 0), (0, 0)))
        blocks = jax.lax.map(
            jax.checkpoint(attend_part), filled.reshape(parts, each, *query.shape[1:])
        )
        return blocks.reshape(filled.shape)[: len(query)]

    rows = query, key, value, lengths
    return jax.lax.map(attend_row, rows, batch_size=max(1, SCORES // of_row))


def _flashable(query: jax.Array, key: jax.Array) -> bool:
    """Return whether the flash kernel pays: padding must not exceed a quarter of either axis."""
    axes = query.shape[1], key.shape[1]
    fits = all(size + -size % FLASH_BLOCK <= 1.25 * size for size in axes)
    return fits and query.dtype in (jnp.bfloat16, jnp.float32) and query.shape[-1] <= 256


def _flash(query, key, value, lengths):
    """Run JAX's flash kernel for TPUs, with padded queries and keys in a segment of their own."""
    from jax.experimental.pallas.ops.tpu import flash_attention as flash

    queries = query.shape[1]
    query, key, value = (
        jnp.pad(x, ((0, 0), (0, -x.shape[1] % FLASH_BLOCK), (0, 0), (0, 0))).swapaxes(1, 2)
        for x in (query, key, value)
    )
    padding = (jnp.arange(key.shape[2]) >= lengths[:, None]).astype(jnp.int32)
    segments = flash.SegmentIds(jnp.zeros((len(query), query.shape[2]), jnp.int32), padding)
    block_q, block_k = (
        next(size for size in FLASH_BLOCKS if x.shape[2] % size == 0) for x in (query, key)
    )
    out = flash.flash_attention(
        query,
        key,
        value,
        segment_ids=segments,
        sm_scale=query.shape[-1] ** -0.5,
        block_sizes=flash.BlockSizes(
            block_q=block_q,
            block_k_major=block_k,
            block_k=block_k,
            block_b=1,
            block_q_major_dkv=block_q,
            block_k_major_dkv=block_k,
            block_k_dkv=block_k,
            block_q_dkv=block_q,
            block_k_major_dq=block_k,
            block_k_dq=block_k,
            block_q_dq=block_q,
        ),
    )
    return out.swapaxes(1, 2)[:, :queries]


def _fusable(query: jax.Array, key: jax.Array) -> bool:
    return (
        jax.default_backend() == "gpu"
        and query.dtype in (jnp.bfloat16, jnp.float16)
        and key.shape[1] >= FUSED_KEYS
        and query.shape[1] > 1
        and query.shape[-1] % 8 == 0
    )


def _fused(query, key, value, lengths):
    """Run cuDNN's attention, which has a gradient only if the number of keys is a multiple of 8."""
    rows, keys = key.shape[:2]
    padding = -keys % 8
    if padding and lengths is None:
        lengths = jnp.full((rows,), keys)
    pad = ((0, 0), (0, padding), (0, 0), (0, 0))
    return jax.nn.dot_product_attention(
        query,
        jnp.pad(key, pad),
        jnp.pad(value, pad),
        key_value_seq_lengths=None if lengths is None else lengths.astype(jnp.int32),
        query_seq_lengths=None if lengths is None else jnp.full((rows,), query.shape[1], jnp.int32),
        implementation="cudnn",
    )
