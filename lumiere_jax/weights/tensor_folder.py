"""A checkpoint folder as one set of named tensors: single, sharded and half-precision files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from etils import epath

from lumiere_jax.weights.safetensors_file import SafetensorsFile, TensorInfo

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class Tensors(Protocol):
    """Named tensors that can be looked at before they are read, one by one.

    Attributes:
      where: file or folder, for error messages.
      tensors: name → shape and dtype.
    """

    where: str
    tensors: Mapping[str, TensorInfo]

    def read(self, name: str) -> np.ndarray:
        """The tensor of that name, in the precision it is stored in."""
        ...


class SafetensorsSet:
    """The tensors of one or several safetensors files."""

    def __init__(self, where: str, files: list[SafetensorsFile]):
        self.where = where
        self._files = {name: file for file in files for name in file.tensors}
        self.tensors = {name: file.tensors[name] for name, file in self._files.items()}

    def read(self, name: str) -> np.ndarray:
        return self._files[name].read(name)


def open_tensors(path: epath.PathLike, variant: str | None = None) -> SafetensorsSet:
    """The tensors of a safetensors file, or of the checkpoint in a folder.

    A folder may hold one file, or an index (`*.index.json`) and its shards, and each of them also
    in half precision (`*.fp16.*`), which is taken when it is alone or when `variant` names it.

    Raises:
      FileNotFoundError: no safetensors file there, or a shard is missing.
      ValueError: only pickles there, several checkpoints to choose from, a truncated file, or an
        index that names other tensors than the shards hold.
    """
    path = epath.Path(path)
    if path.suffix in _PICKLES:
        raise _pickle_error(path)
    if path.suffix == ".safetensors":
        return SafetensorsSet(str(path), [SafetensorsFile(path)])
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; give one with a safetensors file")
    chosen = _choose(path, variant)
    if chosen.suffix == ".json":
        return _open_index(chosen)
    return SafetensorsSet(str(chosen), [SafetensorsFile(chosen)])


def _choose(folder: epath.Path, variant: str | None) -> epath.Path:
    """The file or index that stands for the folder."""
    files = sorted(folder.iterdir(), key=lambda path: path.name)
    indices = [path for path in files if ".safetensors.index" in path.name]
    shards = {name for index in indices for name in _weight_map(index).values()}
    singles = [p for p in files if p.suffix == ".safetensors" and p.name not in shards]
    candidates = singles + indices
    if not candidates:
        pickles = [path for path in files if path.suffix in _PICKLES]
        if pickles:
            raise _pickle_error(pickles[0])
        raise FileNotFoundError(f"{folder}: no .safetensors file there")
    if len(candidates) == 1 and (variant is None or f".{variant}" in candidates[0].name):
        return candidates[0]
    fitting = [p for p in candidates if (f".{variant}" if variant else ".fp16") in p.name]
    if variant is None:
        fitting = [path for path in candidates if path not in fitting]
    # A whole file beside its own shards holds the same tensors.
    whole = [path for path in fitting if path in singles]
    fitting = whole if len(whole) == 1 else fitting
    if len(fitting) != 1:
        names = ", ".join(path.name for path in candidates)
        raise ValueError(f"{folder}: cannot tell which checkpoint to read: {names}; name the file")
    return fitting[0]


def _weight_map(index: epath.Path) -> dict[str, str]:
    try:
        return json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError):
        raise ValueError(f"{index} is not an index: it has no weight_map") from None


def _open_index(index: epath.Path) -> SafetensorsSet:
    weight_map = _weight_map(index)
    files = {
        name: SafetensorsFile(index.parent / name) for name in sorted(set(weight_map.values()))
    }
    for tensor, name in weight_map.items():
        if tensor not in files[name].tensors:
            raise ValueError(f"{files[name].path}: no {tensor}, which {index.name} places there")
    return SafetensorsSet(str(index), list(files.values()))


def _pickle_error(path: epath.Path) -> ValueError:
    target = path.with_suffix(".safetensors").name
    return ValueError(
        f"{path} is a pickle, which can run code when it is read. If you trust it, convert it with "
        'PyTorch: python -c "import torch; from safetensors.torch import save_file; '
        f"t = torch.load('{path.name}', map_location='cpu', weights_only=True); "
        f"save_file({{k: v.contiguous().clone() for k, v in t.items()}}, '{target}')\""
    )
