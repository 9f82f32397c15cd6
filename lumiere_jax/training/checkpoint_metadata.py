"""Checks of a checkpoint's metadata, before Orbax and TensorStore read it.

Nesting of a few thousand levels, or a chunk larger than the memory, ends the process inside
TensorStore, so that no older checkpoint could be used instead of the damaged one.
"""

from __future__ import annotations

from typing import Any

import tensorstore
from etils import epath

from lumiere_jax.checkpoints.zarr_metadata import check_description
from lumiere_jax.json_files import parse_json, read_bytes

_MAX_BYTES = 64 << 20  # of one metadata file; that of a model of 10,000 arrays has 5 MB
_MAX_MANIFEST = 1 << 20
_UNFINISHED = ".orbax-checkpoint-tmp"
_ARRAYS = (".zarray", "zarr.json")
_DATA = "d"  # folders of this name hold the bytes of arrays


def saved_steps(folder: epath.Path) -> list[int]:
    """Return the steps of a folder of checkpoints, oldest first, without unfinished ones."""
    if not folder.exists():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def remove_unfinished(folder: epath.Path) -> None:
    """Remove the unfinished checkpoints of killed saves from a local folder."""
    for path in folder.iterdir() if folder.exists() else ():
        if _UNFINISHED in path.name and path.is_dir():
            path.rmtree(missing_ok=True)


def unreadable_steps(folder: epath.Path) -> dict[int, str]:
    """Return the problem of each step whose metadata would stop Orbax from listing any step.

    A step without that metadata file is not among them: Orbax handles it.
    """
    found = {}
    for step in saved_steps(folder):
        path = folder / str(step) / "_CHECKPOINT_METADATA"
        try:
            if path.exists():
                _check_first(parse_json(read_bytes(path, _MAX_BYTES), str(path), nan=True), path)
        except ValueError as error:
            found[step] = str(error)
    return found


def _check_first(found: Any, path: epath.Path) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not an object")
    for name in ("init_timestamp_nsecs", "commit_timestamp_nsecs"):
        time = found.get(name)
        if time is not None and (type(time) is not int or not 0 <= time < 1 << 63):
            raise ValueError(f"{path}: {name} is {time!r:.80}")
    for name in ("item_handlers", "metrics", "performance_metrics", "custom_metadata"):
        if not isinstance(found.get(name), dict | str | None):
            raise ValueError(f"{path}: {name} is {found[name]!r:.80}")


def check_metadata(folder: epath.Path) -> None:
    """Raise a ValueError if a metadata file of a checkpoint is out of bounds.

    Args:
      folder: folder of one checkpoint, as Orbax wrote it.
    """
    for path in _descriptions(folder):
        if path.name == "manifest.ocdbt":
            read_bytes(path, _MAX_MANIFEST)
            _check_arrays(path.parent)
        elif path.name in _ARRAYS:
            check_description(parse_json(read_bytes(path, _MAX_BYTES), str(path)), str(path))
        elif path.suffix != ".txt":
            data = read_bytes(path, _MAX_BYTES)
            if data:  # `orbax.checkpoint` is empty
                parse_json(data, str(path), nan=True)


def _descriptions(folder: epath.Path) -> list[epath.Path]:
    """Return all files of a checkpoint except those that hold the bytes of arrays."""
    found, folders = [], [folder]
    while folders:
        for path in sorted(folders.pop().iterdir(), key=str):
            if not path.is_dir():
                found.append(path)
            elif path.name != _DATA:
                folders.append(path)
    return found


def _check_arrays(folder: epath.Path) -> None:
    """Check the metadata of the arrays inside an OCDBT database, which it stores by file name."""
    base = str(folder) if "://" in str(folder) else {"driver": "file", "path": f"{folder}/"}
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
    names = [name.decode() for name in store.list().result()]
    described = [name for name in names if name.rpartition("/")[2] in _ARRAYS]
    for name, value in zip(described, [store.read(name) for name in described]):
        where = f"{folder}: {name}"
        check_description(parse_json(value.result().value, where), where)
