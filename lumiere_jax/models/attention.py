"""Multi-head attention over keys of which the first so many count, by the fastest kernel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Short axes are faster in XLA's own attention, long ones in the fused kernel. On an H100, TFLOP/s
# of XLA and fused: 8.0 and 5.0 for 20 keys, 52 and 268 for 1024.
FUSED_KEYS = 256


def attend(
    query: Float[Array, "n q m d"],
    key: Float[Array, "n k m d"],
    value: Float[Array, "n k m d"],
    lengths: Int[Array, "n"] | None = None,
) -> Float[Array, "n q m d"]:
    """softmax(query · keyᵀ / √d) · value, per head m; softmax in float32 or wider.

    Args:
      query, key, value: [n, q or k, m, d] rows, positions, heads, width of a head.
      lengths: [n] how many of the keys count, from the first on; all of them when None.
    """
    if _fusable(query, key):
        return _fused(query, key, value, lengths)
    wide = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("nqmd,nkmd->nmqk", query, key, preferred_element_type=wide)
    scores = scores * query.shape[-1] ** -0.5
    if lengths is not None:
        counts = jnp.arange(key.shape[1]) < lengths[:, None]
        scores = jnp.where(counts[:, None, None], scores, jnp.finfo(wide).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("nmqk,nkmd->nqmd", weights, value)


def _fusable(query: jax.Array, key: jax.Array) -> bool:
    return (
        jax.default_backend() == "gpu"
        and query.dtype in (jnp.bfloat16, jnp.float16)
        and key.shape[1] >= FUSED_KEYS
        and query.shape[1] > 1
        and query.shape[-1] % 8 == 0
    )


def _fused(query, key, value, lengths):
    """cuDNN's attention; keys padded to a multiple of 8, or it refuses their gradient."""
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
