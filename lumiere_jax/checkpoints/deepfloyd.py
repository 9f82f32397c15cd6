"""DeepFloyd's own U-Net checkpoints, read under the names that diffusers gives their tensors.

DeepFloyd numbers modules in the order of the forward pass: `input_blocks.n`, `middle_block.n`,
`output_blocks.n`, with the residual block at `.0`, its attention at `.1`, and an upsampling block
last. Queries, keys and values are one tensor in which q, k and v of the first head come first, then
those of the second, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from lumiere_jax.checkpoints.safetensors_file import TensorInfo
from lumiere_jax.checkpoints.tensor_folder import Tensors
from lumiere_jax.json_files import read_bytes

_OUTER = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "aug_proj.0": "class_embedding.linear_1",
    "aug_proj.2": "class_embedding.linear_2",
    "encoder_proj": "encoder_hid_proj",
    "encoder_pooling.0": "add_embedding.norm1",
    "encoder_pooling.1.q_proj": "add_embedding.pool.q_proj",
    "encoder_pooling.1.k_proj": "add_embedding.pool.k_proj",
    "encoder_pooling.1.v_proj": "add_embedding.pool.v_proj",
    "encoder_pooling.2": "add_embedding.proj",
    "encoder_pooling.3": "add_embedding.norm2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ATTENTION = {"norm": "group_norm", "norm_encoder": "norm_cross", "proj_out": "to_out.0"}
_POSITION = ("encoder_pooling.1.positional_embedding", "add_embedding.pool.positional_embedding")
# DeepFloyd multiplies by this number; diffusers divides by a field of the configuration.
_SKIP_FACTOR = 0.7071
_MAX_YAML = 1 << 16  # bytes; the published files have one page
_DEFAULTS = {"num_head_channels": 64, "att_pool_heads": 64, "activation": "gelu"}


class _Source(NamedTuple):
    """Origin of a tensor: a stored name, and the number of one of its interleaved parts."""

    name: str
    part: int = 0
    parts: int = 1


def is_deepfloyd(source: Tensors) -> bool:
    """Return True if the tensors have DeepFloyd's own names."""
    return "input_blocks.0.0.weight" in source.tensors


def read_yaml(path: epath.Path, advice: str = "") -> dict[str, Any]:
    """Read one of DeepFloyd's own configurations.

    Raises:
      ValueError: not YAML, not a mapping, or YAML with aliases, which can expand without limit.
    """
    import yaml  # Flax depends on the parser.

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise ValueError("it has an alias (*name)")
            return super().compose_node(parent, index)

    try:
        found = yaml.load(read_bytes(path, _MAX_YAML), Plain)  # safe: plain values only, no tags
    except Exception as error:  # a file that is not YAML raises one of a dozen types
        problem = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is not plain YAML: {problem[0]:.200}; {advice}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not a mapping of settings; {advice}")
    return found


def original_fields(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a DeepFloyd configuration, which may be nested one level down."""
    found = config.get("original_config") or config.get("params") or config
    return found if isinstance(found, Mapping) else config


def diffusers_fields(config: Mapping[str, Any], source: Tensors) -> dict[str, Any]:
    """Return DeepFloyd's configuration in diffusers' fields, but those that the tensors imply.

    Missing fields get the values of the published models; a model is stage II if it has an
    embedding of the augmentation level (`aug_proj`).

    Raises:
      ValueError: a switch is neither true nor false.
    """
    stage_two = "aug_proj.0.weight" in source.tensors
    found = _DEFAULTS | dict(original_fields(config))
    efficient, scaled = (
        found.get(name, stage_two) for name in ("efficient_activation", "scale_skip_connection")
    )
    for name, value in (("efficient_activation", efficient), ("scale_skip_connection", scaled)):
        if not isinstance(value, bool):
            raise ValueError(f"{source.where}: {name} is {value!r:.40}, expected true or false")
    scale = 1 / _SKIP_FACTOR if scaled else 1.0
    return {
        "act_fn": found["activation"],
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": found["att_pool_heads"],
        "attention_head_dim": found["num_head_channels"],
        "class_embed_type": "timestep" if stage_two else None,
        "cross_attention_norm": "group_norm",
        "mid_block_scale_factor": scale,
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "resnet_out_scale_factor": scale,
        "resnet_skip_time_act": efficient,
        "resnet_time_scale_shift": "scale_shift",
        "time_embedding_act_fn": found["activation"] if efficient else None,
    }


class DeepFloydTensors:
    """Tensors under diffusers' names; names without a counterpart stay as they are.

    Args:
      source: tensors with DeepFloyd's names.
      head_dim: channels of an attention head, the size of the pieces of the interleaved q, k and v.
    """

    def __init__(self, source: Tensors, head_dim: int):
        self.where, self._source, self._head_dim = source.where, source, head_dim
        self._sources = {_POSITION[1]: _Source(_POSITION[0])}
        for theirs, ours in _OUTER.items():
            self._add(theirs, ours)
        for theirs, ours in _blocks(source):
            self._add_block(theirs, ours)
        self._sources = {k: v for k, v in self._sources.items() if v.name in source.tensors}
        used = {found.name for found in self._sources.values()}
        self._sources |= {name: _Source(name) for name in source.tensors if name not in used}
        self.tensors = {name: self._info(found) for name, found in self._sources.items()}

    def _add(self, theirs: str, ours: str, part: int = 0, parts: int = 1) -> None:
        for kind in ("weight", "bias"):
            self._sources[f"{ours}.{kind}"] = _Source(f"{theirs}.{kind}", part, parts)

    def _add_block(self, theirs: str, ours: str) -> None:
        for inner, name in (_ATTENTION if ".attentions." in ours else _RESIDUAL).items():
            self._add(f"{theirs}.{inner}", f"{ours}.{name}")
        query = self._source.tensors.get(f"{theirs}.qkv.weight")
        if query is not None and len(query.shape) > 1:
            alone = query.shape[0] == query.shape[1]  # stage II attends to the text alone
            for part, name in enumerate(("to_q",) if alone else ("to_q", "to_k", "to_v")):
                self._add(f"{theirs}.qkv", f"{ours}.{name}", part, 1 if alone else 3)
            for part, name in enumerate(("add_k_proj", "add_v_proj")):
                self._add(f"{theirs}.encoder_kv", f"{ours}.{name}", part, 2)

    def _info(self, found: _Source) -> TensorInfo:
        shape, dtype = self._source.tensors[found.name]
        if not shape or shape[0] % found.parts:
            raise ValueError(f"{self.where}: {found.name} is {shape}, unlike in any IF U-Net")
        if len(shape) == 3 and shape[-1] == 1:  # a convolution with one tap is a dense layer
            shape = shape[:-1]
        return TensorInfo((shape[0] // found.parts, *shape[1:]), dtype)

    def read(self, name: str) -> np.ndarray:
        """Return the tensor of that name, also if it is a part of a stored one."""
        found = self._sources[name]
        array = self._source.read(found.name)
        if found.parts > 1:
            array = array.reshape(-1, found.parts, self._head_dim, *array.shape[1:])
            array = array[:, found.part]
        return array.reshape(self.tensors[name].shape)


def _blocks(source: Tensors) -> list[tuple[str, str]]:
    """Return the prefixes of residual and attention blocks in DeepFloyd's and diffusers' names."""
    pairs = [
        ("middle_block.0", "mid_block.resnets.0"),
        ("middle_block.1", "mid_block.attentions.0"),
    ]
    pairs.append(("middle_block.2", "mid_block.resnets.1"))
    up = _up_levels(source)
    for index, level in enumerate(up):
        for block, number in enumerate(level):
            name = f"output_blocks.{number}"
            pairs.append((f"{name}.0", f"up_blocks.{index}.resnets.{block}"))
            pairs += _attention(source, name, f"up_blocks.{index}.attentions.{block}")
        if index < len(up) - 1:
            last = f"output_blocks.{level[-1]}"
            resize = 2 if _attention(source, last, "") else 1
            pairs.append((f"{last}.{resize}", f"up_blocks.{index}.upsamplers.0"))
    number = 1
    for index, level in enumerate(reversed(up)):
        for block in range(len(level) - 1):  # the upward path has one block more
            name = f"input_blocks.{number}"
            pairs.append((f"{name}.0", f"down_blocks.{index}.resnets.{block}"))
            pairs += _attention(source, name, f"down_blocks.{index}.attentions.{block}")
            number += 1
        if index < len(up) - 1:
            pairs.append((f"input_blocks.{number}.0", f"down_blocks.{index}.downsamplers.0"))
            number += 1
    return pairs


def _attention(source: Tensors, block: str, target: str) -> list[tuple[str, str]]:
    return [(f"{block}.1", target)] if f"{block}.1.qkv.weight" in source.tensors else []


def _up_levels(source: Tensors) -> list[list[int]]:
    """Return the numbers of the output blocks of each level, coarsest first.

    A level ends with an upsampling block.
    """
    levels: list[list[int]] = [[]]
    number = 0
    while f"output_blocks.{number}.0.in_layers.0.weight" in source.tensors:
        levels[-1].append(number)
        name = f"output_blocks.{number}"
        resize = 2 if _attention(source, name, "") else 1
        if f"{name}.{resize}.in_layers.0.weight" in source.tensors:
            levels.append([])
        number += 1
    return levels
