"""Our own model folder: `model.json` and one safetensors file a network.

    model.json             format, version, settings, and for each network its type, configuration,
                           file and settings (diffusion, sampler, frames, size, tokenizer, …)
    base.safetensors       parameters; names are the paths of the tree joined by "/"
    text.safetensors       …
    spiece.model           the text encoder's tokenizer, unless it reads bytes
    style/                 a style of the base, if it has one (see `checkpoints.style`)

The configuration alone rebuilds the network, so the folder holds nothing that could run as code.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from etils import epath

from lumiere_jax.checkpoints.description import check_network_name, read_description
from lumiere_jax.checkpoints.migrations import FORMAT, current_version
from lumiere_jax.checkpoints.safetensors_file import SafetensorsFile, write_parameters
from lumiere_jax.checkpoints.style import Style, write_style
from lumiere_jax.checkpoints.tokenizer_file import copy_tokenizer, tokenizer_name
from lumiere_jax.checkpoints.tree import (
    Params,
    Shardings,
    check_floating,
    check_same_names,
    flat_shardings,
    flatten,
    place,
    unflatten,
)
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.models.network import network
from lumiere_jax.models.t5 import T5Config
from lumiere_jax.structure import from_dict, to_dict
from lumiere_jax.video.new_file import new_file, refuse_full

_CONFIG_TYPES = {kind.__name__: kind for kind in (UNetConfig, T5Config)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One network of a model.

    Attributes:
      config: `UNetConfig` or `T5Config`.
      params: parameters; None if only the description was read.
      settings: values that JSON can store, and dataclasses of them, such as `{"diffusion":
        DiffusionConfig(…), "frames": 16, "size": 64}`. Reading gives plain values, which
        `structure.from_dict` converts. A `tokenizer` is "bytes", or the path of a SentencePiece
        model; writing copies that file into the folder, and reading gives its path there.
    """

    config: Any
    params: Params | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """The networks of a model by name (`base`, `ssr`, `text`, …), and its own settings."""

    parts: Mapping[str, Part]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_model(
    folder: epath.PathLike, model: Model, *, style: Style | None = None, dtype: Any = None
) -> None:
    """Write a model folder, `model.json` last: a folder without it is unfinished.

    Args:
      folder: folder that does not exist yet, or is empty.
      model: networks and settings.
      style: style of the base, written to the folder's `style`; none when None.
      dtype: storage dtype, `bfloat16` or `float32`; None keeps each array's own.

    Raises:
      FileExistsError: the folder is not empty.
      ValueError: parameters that are not those of the configuration, a text encoder of another
        width than the U-Nets read, or a tokenizer that is not a SentencePiece model or has more
        pieces than the encoder has rows.
    """
    folder = epath.Path(folder)
    check_text_widths(model)
    refuse_full(folder)
    description = {"format": FORMAT, "version": current_version(), "networks": {}}
    description["settings"] = to_dict(dict(model.settings))
    for name, part in model.parts.items():
        description["networks"][name] = _describe(name, part)
    text = json.dumps(description, indent=2, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    for part in model.parts.values():
        copy_tokenizer(part.config, part.settings, folder)
    for name, part in model.parts.items():
        write_parameters(folder / f"{name}.safetensors", flatten(part.params), dtype)
    if style is not None:
        write_style(folder / "style", style, dtype=dtype)
    with new_file(folder / "model.json") as file:
        file.write_text(text + "\n")


def _describe(name: str, part: Part) -> dict[str, Any]:
    """Return the entry of a network in `model.json`.

    Raises:
      ValueError: no parameters, or those of another configuration.
    """
    kind = type(part.config).__name__
    if kind not in _CONFIG_TYPES:
        raise ValueError(f"{name}: a model holds {' or '.join(_CONFIG_TYPES)}, not {kind}")
    check_network_name(name, "model")
    if part.params is None:
        raise ValueError(f"{name}: no parameters to write")
    shapes = {path: leaf.shape for path, leaf in flatten(part.params).items()}
    _check_shapes(shapes, part.config, f"network {name}")
    settings = to_dict(dict(part.settings))
    if "tokenizer" in settings:
        settings["tokenizer"] = tokenizer_name(settings["tokenizer"])
    return {
        "type": kind,
        "config": to_dict(part.config),
        "file": f"{name}.safetensors",
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "settings": settings,
    }


def check_text_widths(model: Model) -> None:
    """Raise a ValueError unless the text encoder's states have the width that each U-Net reads."""
    widths = {p.config.width for p in model.parts.values() if isinstance(p.config, T5Config)}
    for name, part in model.parts.items():
        text_dim = getattr(part.config, "text_dim", None)
        if text_dim is not None and widths and text_dim not in widths:
            raise ValueError(
                f"{name} reads text states of width {text_dim}, but the encoder's are "
                f"{min(widths)} wide; use the encoder it was trained with"
            )


def _check_shapes(found: dict[str, tuple[int, ...]], config: Any, where: str) -> Params:
    """Return the configuration's tree of shapes; raise a ValueError if `found` has others."""
    shapes = network(config).shapes()
    expected = {path: leaf.shape for path, leaf in flatten(shapes).items()}
    check_same_names(found, expected, where)
    for path, shape in expected.items():
        if tuple(found[path]) != tuple(shape):
            raise ValueError(f"{where}: {path} is {tuple(found[path])}, expected {tuple(shape)}")
    return shapes


def describe_model(folder: epath.PathLike) -> Model:
    """Return the model that `model.json` describes, without reading any parameter.

    A tokenizer that is a file is given by its path in the folder, even if it is missing.

    Raises:
      FileNotFoundError: the folder has no `model.json`.
      ValueError: not JSON, a format, version, network type or field that this program does not
        know, or a file outside the folder.
    """
    path = epath.Path(folder) / "model.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file; `python -m lumiere_jax.convert` makes a model folder"
        )
    networks, settings = read_description(path)
    parts = {}
    for name, entry in networks.items():
        config = from_dict(_CONFIG_TYPES[entry["type"]], entry["config"], f"{path}: {name}")
        part_settings = dict(entry["settings"])
        if part_settings.get("tokenizer", "bytes") != "bytes":
            part_settings["tokenizer"] = str(path.parent / part_settings["tokenizer"])
        parts[name] = Part(config=config, settings=part_settings)
    model = Model(parts=parts, settings=settings)
    check_text_widths(model)
    return model


def read_model(
    folder: epath.PathLike,
    *,
    only: Collection[str] | None = None,
    shardings: Mapping[str, Shardings] | None = None,
    dtype: Any = None,
) -> Model:
    """Read a model folder, tensor by tensor, each onto its devices.

    Args:
      folder: folder that `write_model` wrote.
      only: names of the networks to read; None reads all.
      shardings: for each network, a tree of shardings or a function from its tree of shapes to one.
      dtype: storage dtype; None keeps the file's.

    Raises:
      FileNotFoundError: no such folder, or one of its files is missing.
      ValueError: the folder has no network of that name, or a network has other tensors than those
        of its configuration.
    """
    folder = epath.Path(folder)
    model = describe_model(folder)
    names = list(model.parts) if only is None else list(only)
    absent = sorted(set(names) - set(model.parts))
    if absent:
        raise ValueError(f"{folder}: no network {absent[0]!r}; one of {', '.join(model.parts)}")
    parts = {}
    for name in names:
        part, sharding = model.parts[name], (shardings or {}).get(name)
        params = _read_params(folder / f"{name}.safetensors", part.config, sharding, dtype)
        parts[name] = dataclasses.replace(part, params=params)
    return Model(parts=parts, settings=model.settings)


def _read_params(path: epath.Path, config: Any, shardings: Shardings, dtype: Any) -> Params:
    file = SafetensorsFile(path)
    found = {name: info.shape for name, info in file.tensors.items()}
    target = flat_shardings(shardings, _check_shapes(found, config, str(path)))
    for name, info in file.tensors.items():
        check_floating(info.dtype, f"{path}: {name}")
    return unflatten({name: place(file.read(name), target[name], dtype) for name in found})


def unet_part(model: Model, name: str | None) -> tuple[str, Part]:
    """Return the name and the part of a U-Net of the model.

    Args:
      model: model with one or several U-Nets.
      name: name of the U-Net; the only one when None.

    Raises:
      ValueError: no such U-Net, or several if `name` is None.
    """
    unets = {key: part for key, part in model.parts.items() if isinstance(part.config, UNetConfig)}
    if name is None and len(unets) == 1:
        return next(iter(unets.items()))
    if name not in unets:
        raise ValueError(f"--name={name}: choose one of {', '.join(unets) or 'no U-Nets'}")
    return name, unets[name]


def stage_names(model: Model) -> list[str]:
    """Return the names of the U-Nets of the cascade, in the order in which they run."""
    unets = [name for name, part in model.parts.items() if isinstance(part.config, UNetConfig)]
    return list(model.settings.get("stages") or unets)


def text_part(model: Model) -> Part:
    """Return the model's text encoder.

    Raises:
      ValueError: the model has none.
    """
    for part in model.parts.values():
        if isinstance(part.config, T5Config):
            return part
    raise ValueError(f"no text encoder among {', '.join(model.parts)}")


def replace_part(model: Model, name: str, part: Part) -> Model:
    """Return the model with another part under that name."""
    return dataclasses.replace(model, parts={**model.parts, name: part})
