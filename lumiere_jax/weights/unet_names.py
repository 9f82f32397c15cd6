"""Where the U-Net's parameters stand in a diffusers checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lumiere_jax.models import UNetConfig
from lumiere_jax.weights.mapping import CONVOLUTION, ROW, SAME, TRANSPOSED, Entry, Layout

_DENSE = {"kernel": ("weight", TRANSPOSED), "bias": ("bias", SAME)}
_CONV = {"kernel": ("weight", CONVOLUTION), "bias": ("bias", SAME)}
_NORM = {"scale": ("weight", SAME), "bias": ("bias", SAME)}
_Leaves = dict[str, tuple[str, Layout]]

_OUTER: dict[str, tuple[str, _Leaves]] = {
    "conv_in": ("conv_in", _CONV),
    "norm_out": ("conv_norm_out", _NORM),
    "conv_out": ("conv_out", _CONV),
    "time/linear_in": ("time_embedding.linear_1", _DENSE),
    "time/linear_out": ("time_embedding.linear_2", _DENSE),
    "augmentation/linear_in": ("class_embedding.linear_1", _DENSE),
    "augmentation/linear_out": ("class_embedding.linear_2", _DENSE),
    "text_projection": ("encoder_hid_proj", _DENSE),
    "text_pooling/norm_in": ("add_embedding.norm1", _NORM),
    "text_pooling/query": ("add_embedding.pool.q_proj", _DENSE),
    "text_pooling/key": ("add_embedding.pool.k_proj", _DENSE),
    "text_pooling/value": ("add_embedding.pool.v_proj", _DENSE),
    "text_pooling/output": ("add_embedding.proj", _DENSE),
    "text_pooling/norm_out": ("add_embedding.norm2", _NORM),
}
_POSITION = Entry("text_pooling/position", "add_embedding.pool.positional_embedding", ROW)
_INNER: dict[str, tuple[str, _Leaves]] = {
    "residual/norm_in": ("norm1", _NORM),
    "residual/conv_in": ("conv1", _CONV),
    "residual/time": ("time_emb_proj", _DENSE),
    "residual/norm_out": ("norm2", _NORM),
    "residual/conv_out": ("conv2", _CONV),
    "residual/skip": ("conv_shortcut", _CONV),
    "attention/norm": ("group_norm", _NORM),
    "attention/query": ("to_q", _DENSE),
    "attention/key": ("to_k", _DENSE),
    "attention/value": ("to_v", _DENSE),
    "attention/text_norm": ("norm_cross", _NORM),
    "attention/text_key": ("add_k_proj", _DENSE),
    "attention/text_value": ("add_v_proj", _DENSE),
    "attention/output": ("to_out.0", _DENSE),
}
_LISTS = {"residual": "resnets", "attention": "attentions"}


def unet_entries(config: UNetConfig, paths: Iterable[str]) -> list[Entry]:
    """Every parameter of an image U-Net under its name in `UNet2DConditionModel`.

    Args:
      config: of the image model.
      paths: the paths of its parameter tree.

    Raises:
      ValueError: a path that diffusers' U-Net has no counterpart for.
    """
    return [_entry(path, len(config.channels)) for path in paths]


def _entry(path: str, levels: int) -> Entry:
    if path == _POSITION.path:
        return _POSITION
    module, _, leaf = path.rpartition("/")
    if module in _OUTER:
        name, leaves = _OUTER[module]
    else:
        block, _, inner = module.partition("/")
        if inner not in _INNER:
            raise ValueError(f"{path}: diffusers' U-Net has no such parameter")
        suffix, leaves = _INNER[inner]
        name = f"{_block_name(block, inner.split('/')[0], levels)}.{suffix}"
    kind, layout = leaves[leaf]
    return Entry(path, f"{name}.{kind}", layout)


def _block_name(block: str, part: str, levels: int) -> str:
    """`up_0_block_1`, `residual` → `up_blocks.3.resnets.1` in a U-Net with four levels."""
    if block.startswith("middle_block_"):
        return f"mid_block.{_LISTS[part]}.{block.removeprefix('middle_block_')}"
    match = re.fullmatch(r"(down|up)_(\d+)_(?:block_(\d+)|resize)", block)
    if match is None:
        raise ValueError(f"{block}: diffusers' U-Net has no such block")
    way, level, index = match.groups()
    # diffusers numbers blocks in the order of the forward pass: on the way up, coarsest first.
    number = int(level) if way == "down" else levels - 1 - int(level)
    within = f"{way}samplers.0" if index is None else f"{_LISTS[part]}.{index}"
    return f"{way}_blocks.{number}.{within}"
