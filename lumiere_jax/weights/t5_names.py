"""Where the T5 encoder's parameters stand in Hugging Face and t5x checkpoints."""

from __future__ import annotations

from lumiere_jax.models import T5Config
from lumiere_jax.weights.mapping import SAME, TRANSPOSED, Entry

# our path in a block, Hugging Face's, t5x's; matrices are transposed in Hugging Face's files
_BLOCK = (
    ("attention/norm/scale", "layer.0.layer_norm", "pre_attention_layer_norm/scale"),
    ("attention/query/kernel", "layer.0.SelfAttention.q", "attention/query/kernel"),
    ("attention/key/kernel", "layer.0.SelfAttention.k", "attention/key/kernel"),
    ("attention/value/kernel", "layer.0.SelfAttention.v", "attention/value/kernel"),
    ("attention/out/kernel", "layer.0.SelfAttention.o", "attention/out/kernel"),
    ("feed_forward/norm/scale", "layer.1.layer_norm", "pre_mlp_layer_norm/scale"),
    ("feed_forward/gate/kernel", "layer.1.DenseReluDense.wi_0", "mlp/wi_0/kernel"),
    ("feed_forward/up/kernel", "layer.1.DenseReluDense.wi_1", "mlp/wi_1/kernel"),
    ("feed_forward/down/kernel", "layer.1.DenseReluDense.wo", "mlp/wo/kernel"),
)
_HF_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


def hugging_face_entries(config: T5Config, table: str = "shared.weight") -> list[Entry]:
    """Return every parameter under its name in `T5EncoderModel`.

    Args:
      config: the architecture.
      table: the token table's name.
    """
    entries = [
        Entry("token_embedding/embedding", table, SAME),
        Entry("relative_bias/embedding", _HF_BIAS, SAME),
        Entry("final_norm/scale", "encoder.final_layer_norm.weight", SAME),
    ]
    for layer in range(config.layers):
        for ours, theirs, _ in _BLOCK:
            layout = TRANSPOSED if ours.endswith("kernel") else SAME
            name = f"encoder.block.{layer}.{theirs}.weight"
            entries.append(Entry(f"block_{layer}/{ours}", name, layout))
    return entries


def t5x_entries(config: T5Config) -> list[Entry]:
    """Return every parameter under its path in t5x's parameter tree."""
    entries = [
        Entry("token_embedding/embedding", "token_embedder/embedding", SAME),
        Entry("relative_bias/embedding", "encoder/relpos_bias/rel_embedding", TRANSPOSED),
        Entry("final_norm/scale", "encoder/encoder_norm/scale", SAME),
    ]
    for layer in range(config.layers):
        for ours, _, theirs in _BLOCK:
            entries.append(Entry(f"block_{layer}/{ours}", f"encoder/layers_{layer}/{theirs}", SAME))
    return entries
