"""The named tensors of a checkpoint folder with single, sharded or half-precision files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from etils import epath

from lumiere_jax.checkpoints.safetensors_file import AGAIN, SafetensorsFile, TensorInfo
from lumiere_jax.json_files import plain_name, read_json

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_INDEX = ".safetensors.index"
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")


class Tensors(Protocol):
    """Named tensors that are read one by one, with shapes that are known before.

    Attributes:
      where: file or folder, for error messages.
      tensors: shape and dtype of each tensor by name.
    """

    where: str
    tensors: Mapping[str, TensorInfo]

    def read(self, name: str) -> np.ndarray:
        """Return the tensor of that name in its stored precision."""
        ...


class SafetensorsSet:
    """The tensors of one or several safetensors files.

    Args:
      where: file or folder, for error messages.
      files: file of each tensor by name.
    """

    def __init__(self, where: str, files: Mapping[str, SafetensorsFile]):
        self.where, self._files = where, files
        self.tensors = {name: file.tensors[name] for name, file in files.items()}

    def read(self, name: str) -> np.ndarray:
        """Return the tensor of that name in its stored precision."""
        return self._files[name].read(name)


def open_tensors(path: epath.PathLike, variant: str | None = None) -> SafetensorsSet:
    """Return the tensors of a safetensors file, of an index, or of the checkpoint in a folder.

    A folder may hold one file, or an index (`*.index.json`) and its shards, and also variants of
    both (`*.fp16.*`, `*.non_ema.*`).

    Args:
      path: file, index or folder.
      variant: name of the variant to read from a folder; the plain checkpoint, or the only one,
        when None.

    Raises:
      FileNotFoundError: no safetensors file, or a shard is missing.
      ValueError: only pickles, several checkpoints to choose from, a truncated file, an index that
        points outside its folder, or one that does not name the tensors that its shards hold.
    """
    path = epath.Path(path)
    if path.suffix in _PICKLES:
        raise _pickle_error(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give one with a safetensors file")
    chosen = _choose(path, variant) if path.is_dir() else path
    if chosen.suffix == ".json":
        return _open_index(chosen)
    file = SafetensorsFile(chosen)
    return SafetensorsSet(str(chosen), dict.fromkeys(file.tensors, file))


def is_tensors_file(path: epath.PathLike) -> bool:
    """Return True if the path has the name of a checkpoint's file, False for that of a folder."""
    path = epath.Path(path)
    return path.suffix in (".safetensors", *_PICKLES) or _INDEX in path.name


def _choose(folder: epath.Path, variant: str | None) -> epath.Path:
    """Return the file or index to read in a folder."""
    files = sorted(folder.iterdir(), key=lambda path: path.name)
    indices = [path for path in files if _INDEX in path.name]
    shards = {name for index in indices for name in _weight_map(index).values()}
    singles = [p for p in files if p.suffix == ".safetensors" and p.name not in shards]
    _check_no_stray_shard(singles)
    if not singles + indices:
        pickles = [path for path in files if path.suffix in _PICKLES]
        if pickles:
            raise _pickle_error(pickles[0])
        raise FileNotFoundError(f"{folder} has no .safetensors file")
    variants: dict[str | None, list[epath.Path]] = {}
    for path in singles + indices:
        variants.setdefault(_variant(path.name), []).append(path)
    if variant is None and len(variants) == 1:
        variant = next(iter(variants))
    if variant not in variants:
        there = [f"--variant={name}" for name in sorted(filter(None, variants))]
        there += ["none (leave out --variant)"] if None in variants else []
        asked = f"no --variant={variant}" if variant else "several checkpoints and no plain one"
        raise ValueError(f"{folder}: {asked}; there are {', '.join(there)}")
    fitting = variants[variant]
    # A whole file beside its own shards holds the same tensors.
    whole = [path for path in fitting if path in singles]
    fitting = whole if len(whole) == 1 else fitting
    if len(fitting) > 1:
        names = ", ".join(path.name for path in fitting)
        raise ValueError(f"{folder}: several checkpoints ({names}); name one: --path={fitting[0]}")
    return fitting[0]


def _variant(name: str) -> str | None:
    """Return `fp16` for `model.fp16.safetensors` and both forms of its index; None for plain."""
    for part in (".json", ".index", ".safetensors"):
        name = name.replace(part, "")
    return name.partition(".")[2] or None


def _check_no_stray_shard(files: list[epath.Path]) -> None:
    for path in files:
        if _SHARD.search(path.name):
            raise ValueError(
                f"{path} is a part of a checkpoint whose index (*{_INDEX}.json) is missing; "
                "download that too"
            )


def _weight_map(index: epath.Path) -> dict[str, str]:
    """Return the name of the file of each tensor in an index, all in the index's own folder."""
    found = read_json(index, advice=AGAIN).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{index} is not an index: it has no weight_map; {AGAIN}")
    for tensor, name in found.items():
        if not plain_name(name, f"{index}: {tensor!r:.80}").endswith(".safetensors"):
            raise ValueError(f"{index}: {tensor!r:.80}: {name!r:.80} is not a .safetensors file")
    return found


def _open_index(index: epath.Path) -> SafetensorsSet:
    weight_map = _weight_map(index)
    files = {
        name: SafetensorsFile(index.parent / name) for name in sorted(set(weight_map.values()))
    }
    for tensor, name in weight_map.items():
        if tensor not in files[name].tensors:
            raise ValueError(
                f"{files[name].path} lacks {tensor!r:.100}, which {index.name} assigns to it"
            )
    for name, file in files.items():
        for tensor in file.tensors:
            if weight_map.get(tensor) != name:
                raise ValueError(f"{file.path}: {index.name} does not assign {tensor!r:.100} to it")
    return SafetensorsSet(str(index), {tensor: files[name] for tensor, name in weight_map.items()})


def _pickle_error(path: epath.Path) -> ValueError:
    target = path.with_suffix(".safetensors").name
    return ValueError(
        f"{path} is a pickle, which can run code when it is read. If you trust it, convert it with "
        'PyTorch: python -c "import torch; from safetensors.torch import save_file; '
        f"t = torch.load('{path.name}', map_location='cpu', weights_only=True); "
        f"save_file({{k: v.contiguous().clone() for k, v in t.items()}}, '{target}')\""
    )
