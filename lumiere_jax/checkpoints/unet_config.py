"""Conversion between the U-Net's configuration and that of diffusers.

Every field of `UNet2DConditionModel` that changes its output is read. Fields that describe tensors
are compared with the tensors; values that our U-Net does not compute are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lumiere_jax.checkpoints.tensor_folder import Tensors
from lumiere_jax.models.config import LEVELS, UNetConfig

# diffusers' default of each field, and the values that our U-Net computes
_COMPUTED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "addition_embed_type": (None, ("text",)),
    "addition_time_embed_dim": (None, (None,)),
    "attention_type": ("default", ("default",)),
    "center_input_sample": (False, (False,)),
    "class_embed_type": (None, (None, "timestep")),
    "class_embeddings_concat": (False, (False,)),
    "conv_in_kernel": (3, (3,)),
    "conv_out_kernel": (3, (3,)),
    "cross_attention_norm": (None, ("group_norm",)),
    "dual_cross_attention": (False, (False,)),
    "encoder_hid_dim_type": (None, (None, "text_proj")),
    "flip_sin_to_cos": (True, (True,)),
    "freq_shift": (0, (0,)),
    "mid_block_type": ("UNetMidBlock2DCrossAttn", ("UNetMidBlock2DSimpleCrossAttn",)),
    "num_attention_heads": (None, (None,)),
    "num_class_embeds": (None, (None,)),
    "resnet_time_scale_shift": ("default", ("scale_shift",)),
    "time_cond_proj_dim": (None, (None,)),
    "time_embedding_type": ("positional", ("positional",)),
    "timestep_post_act": (None, (None,)),
}
# diffusers' name and default of each of our fields
_FIELDS = {
    "head_dim": ("attention_head_dim", 8),
    "groups": ("norm_num_groups", 32),
    "epsilon": ("norm_eps", 1e-5),
    "pool_heads": ("addition_embed_type_num_heads", 64),
    "residual_scale": ("resnet_out_scale_factor", 1.0),
    "middle_residual_scale": ("mid_block_scale_factor", 1.0),
}
_ACTIVATIONS = {"gelu": "gelu", "silu": "silu", "swish": "silu"}
_PLAIN = {"down": "ResnetDownsampleBlock2D", "up": "ResnetUpsampleBlock2D"}
_ATTENDING = {"down": "SimpleCrossAttnDownBlock2D", "up": "SimpleCrossAttnUpBlock2D"}


def config_from_diffusers(
    found: Mapping[str, Any], source: Tensors, where: str = "config.json"
) -> UNetConfig:
    """Return the configuration that a diffusers config.json and the tensors beside it describe.

    Args:
      found: fields of the file; a missing one has diffusers' default, or the value of the tensors
        if it only describes them (channels, blocks, attention, widths).
      source: tensors under diffusers' names.
      where: file, for error messages.

    Raises:
      ValueError: a block type or another value that our U-Net does not compute, or one that differs
        from the tensors; the message names the field and the tensor.
    """
    for field, (default, allowed) in _COMPUTED.items():
        if found.get(field, default) not in allowed:
            choice = " or ".join(repr(value) for value in allowed)
            raise ValueError(
                f"{where}: {field} is {found.get(field, default)!r:.80}, expected {choice}"
            )
    shape = _structure(source)
    _compare(found, shape, source, where)
    augmentation = found.get("class_embed_type") == "timestep"
    in_channels = shape["in_channels"]
    activation = _activation(found.get("act_fn", "silu"), "act_fn", where)
    outer_activation = found.get("time_embedding_act_fn")
    if outer_activation is not None:
        outer = _activation(outer_activation, "time_embedding_act_fn", where)
        if outer != activation:
            raise ValueError(f"{where}: time_embedding_act_fn {outer!r} differs from act_fn")
    skips_activation = found.get("resnet_skip_time_act", False)
    if not isinstance(skips_activation, bool):
        raise ValueError(f"{where}: resnet_skip_time_act is {skips_activation!r:.40}, not a bool")
    fields = {name: found.get(*theirs) for name, theirs in _FIELDS.items()}
    fields["head_dim"] = _one_value(fields["head_dim"], "attention_head_dim", where)
    try:
        return UNetConfig(
            channels=tuple(shape["block_out_channels"]),
            blocks=tuple(shape["layers_per_block"]),
            attention=tuple(shape["attention"]),
            self_attention=_self_attention(found, shape, source, where),
            activation=activation,
            in_channels=in_channels // 2 if augmentation else in_channels,
            out_channels=shape["out_channels"],
            text_dim=shape["encoder_hid_dim"],
            cross_dim=shape["cross_attention_dim"],
            time_embedding_dim=shape["time_embedding_dim"],
            block_time_activation=not skips_activation,
            embedding_activation=outer_activation is not None,
            low_resolution=augmentation,
            augmentation=augmentation,
            **fields,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {named_theirs(str(error), _FIELDS)}") from None


def named_theirs(message: str, fields: Mapping[str, tuple[str, Any]]) -> str:
    """Return a configuration's error, `groups=0 lies outside …`, with the file's name of the field.

    Args:
      message: error that may begin with the name of one of our fields.
      fields: file's name and default of each of our fields.
    """
    field, equals, rest = message.partition("=")
    return f"{fields[field][0]}={rest}" if equals and field in fields else message


def _structure(source: Tensors) -> dict[str, Any]:
    """Return the fields that the names and shapes of the tensors imply."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        if name not in source.tensors:
            raise ValueError(f"{source.where}: no {name}; expected the tensors of an IF U-Net")
        if len(source.tensors[name].shape) != axes:
            raise ValueError(f"{source.where}: {name} is {source.tensors[name].shape}")
        return source.tensors[name].shape

    levels = _count(source, r"down_blocks\.(\d+)\.")
    if not 1 <= levels <= LEVELS:
        raise ValueError(f"{source.where}: {levels} down_blocks; expected 1 to {LEVELS}")
    cross, text = shape("encoder_hid_proj.weight", 2)
    return {
        "block_out_channels": [
            shape(f"down_blocks.{level}.resnets.0.conv1.weight", 4)[0] for level in range(levels)
        ],
        "layers_per_block": [
            _count(source, rf"down_blocks\.{level}\.resnets\.(\d+)\.") for level in range(levels)
        ],
        "attention": [
            _count(source, rf"down_blocks\.{level}\.attentions\.(\d+)\.") > 0
            for level in range(levels)
        ],
        "in_channels": shape("conv_in.weight", 4)[1],
        "out_channels": shape("conv_out.weight", 4)[0],
        "encoder_hid_dim": text,
        "cross_attention_dim": cross,
        "time_embedding_dim": shape("time_embedding.linear_1.weight", 2)[0],
    }


def _count(source: Tensors, pattern: str) -> int:
    numbers = [int(m.group(1)) for name in source.tensors if (m := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


def _compare(
    found: Mapping[str, Any], shape: Mapping[str, Any], source: Tensors, where: str
) -> None:
    """Raise a ValueError for a field that differs from the tensors."""
    levels = len(shape["block_out_channels"])
    blocks = found.get("layers_per_block", shape["layers_per_block"])
    stated = {
        "block_out_channels": found.get("block_out_channels", shape["block_out_channels"]),
        "layers_per_block": [blocks] * levels if isinstance(blocks, int) else blocks,
    }
    for field in ("in_channels", "out_channels", "encoder_hid_dim", "cross_attention_dim"):
        stated[field] = found.get(field, shape[field])
    if found.get("time_embedding_dim") is not None:
        stated["time_embedding_dim"] = found["time_embedding_dim"]
    if "down_block_types" in found or "up_block_types" in found:
        stated["attention"] = _block_types(found, shape["attention"], where)
    for field, value in stated.items():
        if value != shape[field]:
            raise ValueError(
                f"{where}: {field} is {value!s:.80}, but the tensors in {source.where} have "
                f"{shape[field]}"
            )


def _block_types(found: Mapping[str, Any], attention: list[bool], where: str) -> list[bool]:
    """Return True for each level whose block types have attention, equal on both paths."""
    levels = {}
    for way in ("down", "up"):
        field = f"{way}_block_types"
        types = found.get(field)
        if types is None:
            levels[way] = attention
            continue
        if not isinstance(types, list):
            raise ValueError(f"{where}: {field} is {types!r:.80}, expected a list of block types")
        for kind in types:
            if kind not in (_PLAIN[way], _ATTENDING[way]):
                raise ValueError(
                    f"{where}: {field} has the unknown block {kind!r:.80}, "
                    f"expected {_PLAIN[way]} or {_ATTENDING[way]}"
                )
        levels[way] = [
            kind == _ATTENDING[way] for kind in (types if way == "down" else types[::-1])
        ]
    if levels["down"] != levels["up"]:
        raise ValueError(f"{where}: up_block_types do not mirror down_block_types")
    return levels["down"]


def _self_attention(
    found: Mapping[str, Any], shape: Mapping[str, Any], source: Tensors, where: str
) -> bool:
    """Return True if pixels attend to their frame; the file must agree with the tensors."""
    present = "mid_block.attentions.0.to_k.weight" in source.tensors
    only_text = found.get("only_cross_attention")
    if only_text is not None:
        middle = found.get("mid_block_only_cross_attention")
        if middle is None:
            middle = only_text if isinstance(only_text, bool) else False
        listed, absent = only_text if isinstance(only_text, list) else [only_text], not present
        if any(value is not absent for value in [*listed, middle]):
            raise ValueError(
                f"{where}: only_cross_attention is {only_text!s:.80} (in the middle: "
                f"{middle!s:.40}), but "
                f"{source.where} has {'' if present else 'no '}mid_block.attentions.0.to_k.weight"
            )
    return present


def _activation(name: str, field: str, where: str) -> str:
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ValueError(f"{where}: {field} is {name!r:.80}, expected 'gelu' or 'silu'")
    return _ACTIVATIONS[name]


def _one_value(value: Any, field: str, where: str) -> int:
    values = value if isinstance(value, list) else [value]
    if not values or any(type(each) is not int or each != values[0] for each in values):
        raise ValueError(f"{where}: {field} is {value!r:.80}; expected one number for every level")
    return values[0]


def config_to_diffusers(config: UNetConfig, size: int | None = None) -> dict[str, Any]:
    """Return the fields of config.json for an image U-Net.

    Args:
      config: configuration of an image model, without temporal half and observed video.
      size: pixels per side of the output, diffusers' `sample_size`.

    Raises:
      ValueError: a model that `UNet2DConditionModel` cannot compute.
    """
    refused = {
        "patch": config.patch != 1,
        "text_mask": config.text_mask,
        "text_dim": config.text_dim is None,
        "low_resolution": config.low_resolution != config.augmentation,
    }
    for field, wrong in refused.items():
        if wrong:
            value = getattr(config, field)
            raise ValueError(f"model.{field}={value}: diffusers' U-Net has no counterpart for it")
    only_text = not config.self_attention
    middle_scale = config.middle_residual_scale
    return {
        "_class_name": "UNet2DConditionModel",
        "act_fn": config.activation,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": config.pool_heads,
        "attention_head_dim": config.head_dim,
        "block_out_channels": list(config.channels),
        "class_embed_type": "timestep" if config.augmentation else None,
        "cross_attention_dim": config.cross_dim,
        "cross_attention_norm": "group_norm",
        "down_block_types": [_type("down", attends) for attends in config.attention],
        "encoder_hid_dim": config.text_dim,
        "encoder_hid_dim_type": "text_proj",
        "in_channels": config.in_channels * (2 if config.low_resolution else 1),
        "layers_per_block": list(config.blocks),
        "mid_block_only_cross_attention": only_text,
        "mid_block_scale_factor": (config.residual_scale if middle_scale is None else middle_scale),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "norm_eps": config.epsilon,
        "norm_num_groups": config.groups,
        "only_cross_attention": only_text,
        "out_channels": config.out_channels,
        "resnet_out_scale_factor": config.residual_scale,
        "resnet_skip_time_act": not config.block_time_activation,
        "resnet_time_scale_shift": "scale_shift",
        "sample_size": size,
        "time_embedding_act_fn": config.activation if config.embedding_activation else None,
        "time_embedding_dim": config.time_width,
        "up_block_types": [_type("up", attends) for attends in reversed(config.attention)],
    }


def _type(way: str, attends: bool) -> str:
    return (_ATTENDING if attends else _PLAIN)[way]
