"""Reading and writing of DeepFloyd IF's U-Nets: diffusers folders and original checkpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from etils import epath

from lumiere_jax.checkpoints.deepfloyd import (
    DeepFloydTensors,
    diffusers_fields,
    is_deepfloyd,
    original_fields,
    read_yaml,
)
from lumiere_jax.checkpoints.mapping import (
    CONVOLUTION,
    ROW,
    SAME,
    TRANSPOSED,
    Entry,
    Layout,
    read_entries,
    write_entries,
)
from lumiere_jax.checkpoints.safetensors_file import AGAIN
from lumiere_jax.checkpoints.tensor_folder import Tensors, is_tensors_file, open_tensors
from lumiere_jax.checkpoints.tree import Params, Shardings, flatten
from lumiere_jax.checkpoints.unet_config import config_from_diffusers, config_to_diffusers
from lumiere_jax.json_files import read_json
from lumiere_jax.models.config import HEADS, UNetConfig
from lumiere_jax.models.network import network
from lumiere_jax.models.stunet import spatial_half, spatial_params
from lumiere_jax.structure import check_whole
from lumiere_jax.video.new_file import new_file, refuse_full

FILE = "diffusion_pytorch_model.safetensors"


def read_unet(
    folder: epath.PathLike,
    *,
    variant: str | None = None,
    shardings: Shardings = None,
    dtype: Any = None,
) -> tuple[UNetConfig, Params]:
    """Read an IF U-Net of stage I or II in its stored precision, tensor by tensor.

    Args:
      folder: diffusers folder (config.json and safetensors; also a pipeline with `unet`), folder
        with DeepFloyd's own tensors, or one such file with its configuration beside it.
      variant: name of a variant, such as `fp16`, if the folder holds several.
      shardings: tree of shardings, or function from the tree of shapes to one.
      dtype: storage dtype; None keeps the file's.

    Raises:
      FileNotFoundError: no such checkpoint at `folder`.
      ValueError: a pickle, a truncated file, an unknown block type, or tensors that are missing,
        unknown, or of another shape.
    """
    config, source = _open(folder, variant)
    shapes = network(config).shapes()
    entries = unet_entries(config, flatten(shapes))
    return config, read_entries(source, entries, shapes, shardings=shardings, dtype=dtype)


def read_unet_config(folder: epath.PathLike, *, variant: str | None = None) -> UNetConfig:
    """Return the configuration alone, from the files' fields and the tensors' names and shapes."""
    return _open(folder, variant)[0]


def sample_size(folder: epath.PathLike) -> int | None:
    """Return the pixels per side in the folder's configuration; None if it has no such field.

    Raises:
      ValueError: the field is not a number of pixels.
    """
    fields, where = _fields(_inside(folder))
    found = original_fields(fields)
    name = "sample_size" if "sample_size" in found else "image_size"
    size = found.get(name)
    if size is not None:
        check_whole(f"{where}: {name}", size, 8, 8192)
    return size


def write_unet(
    folder: epath.PathLike,
    config: UNetConfig,
    params: Params,
    *,
    size: int | None = None,
    dtype: Any = None,
) -> None:
    """Write the spatial half of a U-Net as a diffusers folder.

    Args:
      folder: folder that does not exist yet, or is empty.
      config: configuration of an image or a video model.
      params: parameters of that model, of which only the spatial ones are written.
      size: pixels per side of the output, written as `sample_size`.
      dtype: storage dtype; None keeps each array's.

    Raises:
      FileExistsError: the folder is not empty.
      ValueError: a model that diffusers' U-Net cannot represent.
    """
    folder = epath.Path(folder)
    refuse_full(folder)
    fields = config_to_diffusers(spatial_half(config), size)
    image = spatial_params(params)
    entries = unet_entries(config, flatten(image))
    folder.mkdir(parents=True, exist_ok=True)
    write_entries(folder / FILE, entries, image, dtype=dtype)
    with new_file(folder / "config.json") as file:
        file.write_text(json.dumps(fields, indent=2) + "\n")


def _open(folder: epath.PathLike, variant: str | None) -> tuple[UNetConfig, Tensors]:
    path = _inside(folder)
    source: Tensors = open_tensors(path, variant)
    fields, where = _fields(path)
    if is_deepfloyd(source):
        if "block_out_channels" not in fields:
            fields = diffusers_fields(fields, source)
        head_dim = fields.get("attention_head_dim")
        check_whole(f"{where or source.where}: attention_head_dim", head_dim, *HEADS)
        source = DeepFloydTensors(source, head_dim)
    elif where is None:
        raise FileNotFoundError(f"{path}: no config.json beside the tensors")
    return config_from_diffusers(fields, source, where or source.where), source


def _inside(folder: epath.PathLike) -> epath.Path:
    """Return the folder of the U-Net, given that or its pipeline's."""
    folder = epath.Path(folder)
    return folder / "unet" if (folder / "unet").exists() else folder


def _fields(path: epath.Path) -> tuple[dict[str, Any], str | None]:
    """Return the fields of the configuration file beside the tensors, and its path."""
    folder = path.parent if is_tensors_file(path) else path
    for name in (f"{path.stem}_config.json", "config.json", "config.yml", "config.yaml"):
        file = folder / name
        if file.exists():
            read = read_json if file.suffix == ".json" else read_yaml
            return read(file, advice=AGAIN), str(file)
    return {}, None


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
    """Return the name and layout of image parameters in diffusers' `UNet2DConditionModel`.

    Args:
      config: configuration of the image model.
      paths: paths in its parameter tree.

    Raises:
      ValueError: a path without a counterpart in diffusers' U-Net.
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
    """Return diffusers' name of a block.

    `up_0_block_1`, `residual` → `up_blocks.3.resnets.1` in a U-Net with four levels.
    """
    if block.startswith("middle_block_"):
        return f"mid_block.{_LISTS[part]}.{block.removeprefix('middle_block_')}"
    match = re.fullmatch(r"(down|up)_(\d+)_(?:block_(\d+)|resize)", block)
    if match is None:
        raise ValueError(f"{block}: diffusers' U-Net has no such block")
    way, level, index = match.groups()
    # diffusers numbers blocks in the order of the forward pass: upwards from the coarsest level.
    number = int(level) if way == "down" else levels - 1 - int(level)
    within = f"{way}samplers.0" if index is None else f"{_LISTS[part]}.{index}"
    return f"{way}_blocks.{number}.{within}"
