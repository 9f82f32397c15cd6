"""Reading and writing of T5 v1.1 and ByT5 encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
from etils import epath

from lumiere_jax.checkpoints.mapping import SAME, TRANSPOSED, Entry, read_entries
from lumiere_jax.checkpoints.safetensors_file import AGAIN
from lumiere_jax.checkpoints.t5x import INDEX, T5xCheckpoint, write_t5x_arrays
from lumiere_jax.checkpoints.tensor_folder import Tensors, is_tensors_file, open_tensors
from lumiere_jax.checkpoints.tree import Params, Shardings, flatten
from lumiere_jax.checkpoints.unet_config import named_theirs
from lumiere_jax.json_files import read_json
from lumiere_jax.models.network import network
from lumiere_jax.models.t5 import T5Config

# Hugging Face's name of each field, and T5's default for files that leave it out.
_FIELDS = {
    "vocabulary_size": ("vocab_size", 32128),
    "width": ("d_model", 512),
    "feed_forward": ("d_ff", 2048),
    "heads": ("num_heads", 8),
    "head_dim": ("d_kv", 64),
    "layers": ("num_layers", 6),
    "buckets": ("relative_attention_num_buckets", 32),
    "max_distance": ("relative_attention_max_distance", 128),
    "norm_epsilon": ("layer_norm_epsilon", 1e-6),
}
# The encoder's table under its other name, and the decoder, which we do not read.
_HF_IGNORED = ("encoder.embed_tokens.", "decoder.", "lm_head.")


def read_t5(
    folder: epath.PathLike,
    *,
    variant: str | None = None,
    shardings: Shardings = None,
    dtype: Any = None,
) -> tuple[T5Config, Params]:
    """Read a T5 encoder in its stored precision, tensor by tensor.

    Args:
      folder: folder of Hugging Face (config.json and safetensors; also a diffusers pipeline with
        `text_encoder`), or a t5x checkpoint directory. Its decoder is ignored.
      variant: name of a variant, such as `fp16`, if the folder holds several.
      shardings: tree of shardings, or function from the tree of shapes to one.
      dtype: storage dtype; None keeps the file's. float16 overflows in the larger sizes.

    Raises:
      FileNotFoundError: no such checkpoint at `folder`.
      ValueError: a T5 of another family, or tensors that are missing, unknown, or of another shape.
    """
    folder = epath.Path(folder)
    options = {"shardings": shardings, "dtype": dtype}
    if (folder / INDEX).exists():
        source: Tensors = T5xCheckpoint(folder)
        config = _config_from_t5x(source)
        entries, ignored = t5x_entries(config), ("decoder/",)
    else:
        folder = folder / "text_encoder" if (folder / "text_encoder").exists() else folder
        beside = folder.parent if is_tensors_file(folder) else folder
        config = _config_from_json(beside / "config.json")
        source = open_tensors(folder, variant)
        table = _without_second_table(source)
        entries = hugging_face_entries(config, table)
        ignored = tuple(name for name in _HF_IGNORED if not table.startswith(name))
    shapes = network(config).shapes()
    params = read_entries(
        source, entries, shapes, ignore=lambda name: name.startswith(ignored), **options
    )
    return config, params


def write_t5x(folder: epath.PathLike, config: T5Config, params: Params, step: int = 0) -> None:
    """Write an encoder as a t5x checkpoint directory.

    Args:
      folder: folder that does not exist yet, or is empty.
      config: configuration of the encoder.
      params: parameters of the encoder.
      step: training step that the checkpoint names.

    Raises:
      FileExistsError: the folder is not empty.
    """
    flat = flatten(params)
    arrays = {
        name: layout.store(np.asarray(flat[path])) for path, name, layout in t5x_entries(config)
    }
    write_t5x_arrays(folder, arrays, step)


def _config_from_json(path: epath.Path) -> T5Config:
    """Return the configuration in Hugging Face's config.json.

    Raises:
      ValueError: a model that does not compute what T5 v1.1 does.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; give a folder with config.json beside it")
    found = read_json(path, advice=AGAIN)
    if found.get("model_type") != "t5":
        raise ValueError(f"{path}: model_type {found.get('model_type')!r:.80} is not 't5'")
    form = found.get("feed_forward_proj", "relu")
    if form != "gated-gelu" or found.get("dense_act_fn", "gelu_new") != "gelu_new":
        raise ValueError(
            f"{path}: feed_forward_proj {form!r:.80} is another family of T5; this reads v1.1 and "
            "ByT5, whose value is 'gated-gelu', such as google/t5-v1_1-xxl"
        )
    try:
        return T5Config(**{ours: found.get(*theirs) for ours, theirs in _FIELDS.items()})
    except ValueError as error:
        raise ValueError(f"{path}: {named_theirs(str(error), _FIELDS)}") from None


def _without_second_table(source: Tensors) -> str:
    """Return the name of the token table: `shared.weight`, or the encoder's if it is the only one.

    Raises:
      ValueError: both exist and differ, unlike in the T5 that this program computes.
    """
    table, second = "shared.weight", "encoder.embed_tokens.weight"
    if second not in source.tensors:
        return table
    if table not in source.tensors:
        return second
    if source.tensors[table].shape != source.tensors[second].shape or not np.array_equal(
        source.read(table), source.read(second), equal_nan=True
    ):
        raise ValueError(
            f"{source.where}: {second} differs from {table}; expected one table under two names"
        )
    return table


def _config_from_t5x(source: Tensors) -> T5Config:
    """Return the configuration that the arrays' shapes imply; t5x stores it in gin files."""

    def shape(name: str) -> tuple[int, int]:
        if name not in source.tensors:
            raise ValueError(f"{source.where}: no {name}; expected the arrays of a T5 v1.1 encoder")
        found = source.tensors[name].shape
        if len(found) != 2:
            raise ValueError(f"{source.where}: {name} is {found}; expected a matrix")
        return found

    vocabulary_size, width = shape("token_embedder/embedding")
    heads, buckets = shape("encoder/relpos_bias/rel_embedding")
    layers = {name.split("/")[1] for name in source.tensors if name.startswith("encoder/layers_")}
    try:
        return T5Config(
            vocabulary_size=vocabulary_size,
            width=width,
            feed_forward=shape("encoder/layers_0/mlp/wi_0/kernel")[1],
            heads=heads,
            head_dim=shape("encoder/layers_0/attention/query/kernel")[1] // max(heads, 1),
            layers=len(layers),
            buckets=buckets,
        )
    except ValueError as error:
        raise ValueError(f"{source.where}: {error}") from None


# Our path in a block, Hugging Face's, t5x's. Matrices are transposed in Hugging Face's files.
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
    """Return the name and layout of every parameter in Hugging Face's `T5EncoderModel`.

    Args:
      config: configuration of the encoder.
      table: name of the token table.
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
    """Return the path and layout of every parameter in t5x's parameter tree."""
    entries = [
        Entry("token_embedding/embedding", "token_embedder/embedding", SAME),
        Entry("relative_bias/embedding", "encoder/relpos_bias/rel_embedding", TRANSPOSED),
        Entry("final_norm/scale", "encoder/encoder_norm/scale", SAME),
    ]
    for layer in range(config.layers):
        for ours, _, theirs in _BLOCK:
            entries.append(Entry(f"block_{layer}/{ours}", f"encoder/layers_{layer}/{theirs}", SAME))
    return entries
