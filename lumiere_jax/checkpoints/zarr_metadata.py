"""Descriptions of zarr arrays, checked before TensorStore reads them.

TensorStore ends the process on nesting of a few thousand levels and on chunks larger than the
memory, so neither may reach it. It also reads a missing chunk as zeros.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from etils import epath

from lumiere_jax.checkpoints.safetensors_file import AGAIN, TensorInfo
from lumiere_jax.json_files import parse_json, plain_name, read_bytes
from lumiere_jax.structure import check_choice

_MAX_DESCRIPTION = 1 << 16  # bytes; usual ones have a few hundred
_MAX_AXES = 32
_MAX_SIZE = 1 << 48  # of an axis
_MAX_BYTES = 16 << 30  # of an array; the largest table of a T5 has 4 GB in float32
_MAX_RATIO = 1032  # gzip's largest ratio of compression
_DTYPES = {
    "bfloat16": "bfloat16",
    "<f2": "float16",
    "<f4": "float32",
    "<f8": "float64",
    "<i4": "int32",
    "<i8": "int64",
}
_COMPRESSORS = (None, "gzip", "zlib", "blosc")
_KNOWN = {
    "zarr_format": 2,
    "order": "C",
    "filters": None,
    "shape": [],
    "chunks": [],
    "dtype": "",
    "compressor": None,
    "fill_value": None,
    "dimension_separator": ".",
}


def check_description(found: Any, where: str) -> None:
    """Raise a ValueError for a description, of version 2 or 3, that could end the process.

    Args:
      found: parsed `.zarray` or `zarr.json`.
      where: file, for error messages.
    """
    if not isinstance(found, dict):
        raise ValueError(f"{where} does not describe an array")
    chunks = found.get("chunks")
    if chunks is None:
        grid = found.get("chunk_grid")
        grid = grid.get("configuration") if isinstance(grid, dict) else None
        chunks = grid.get("chunk_shape") if isinstance(grid, dict) else None
    _check_sizes(where, "shape", found.get("shape"))
    _check_sizes(where, "chunks", chunks)
    if math.prod(chunks) > math.prod(max(size, 1) for size in found["shape"]):
        raise ValueError(f"{where}: chunks of {chunks} are larger than the array")


def _check_sizes(where: str, field: str, sizes: Any, *, least: int = 0) -> None:
    """Raise a ValueError unless `sizes` is a list of whole numbers, one per axis."""
    listed = isinstance(sizes, list) and len(sizes) <= _MAX_AXES
    if not listed or not all(type(size) is int and least <= size < _MAX_SIZE for size in sizes):
        raise ValueError(
            f"{where}: {field} is {sizes!r:.80}, expected at most {_MAX_AXES} whole numbers"
        )


def check_zarr(folder: epath.Path, expected: dict[str, Any]) -> TensorInfo:
    """Return the shape and dtype of a zarr array of version 2, after checks that reading is safe.

    Args:
      folder: folder of the array, with `.zarray` and its chunks.
      expected: entry of the array in the checkpoint's index; may lack "shape" and "chunks".

    Raises:
      FileNotFoundError: no `.zarray` in the folder.
      ValueError: a description out of bounds or unlike the index, or missing chunks.
    """
    path = folder / ".zarray"
    found = parse_json(read_bytes(path, _MAX_DESCRIPTION), str(path))
    if not isinstance(found, dict) or not {"shape", "chunks", "dtype"} <= found.keys():
        raise ValueError(f"{path} does not describe an array; {AGAIN}")
    found = _KNOWN | found
    for field, value in found.items():
        check_choice(f"{path}: field", field, tuple(_KNOWN))
        fixed = {"zarr_format": (2,), "order": ("C",), "filters": (None,)}
        fixed |= {"dimension_separator": (".", "/"), "dtype": tuple(_DTYPES)}
        if field in fixed and value not in fixed[field]:
            choice = " or ".join(map(repr, fixed[field]))
            raise ValueError(f"{path}: {field} is {value!r:.40}, expected {choice}")
    _check_values(path, found)
    for field in ("shape", "chunks"):
        if expected.get(field, found[field]) != found[field]:
            raise ValueError(
                f"{path}: {field} is {found[field]}, but {expected[field]} in the index"
            )
    info = TensorInfo(tuple(found["shape"]), np.dtype(_DTYPES[found["dtype"]]))
    if info.bytes > _MAX_BYTES:
        raise ValueError(f"{path}: {info.shape} is larger than {_MAX_BYTES >> 30} GiB")
    _check_chunks(folder, found, info.dtype.itemsize)
    return info


def _check_values(path: epath.Path, found: dict[str, Any]) -> None:
    """Raise a ValueError for a shape, compressor or fill value that is not allowed."""
    _check_sizes(str(path), "shape", found["shape"])
    _check_sizes(str(path), "chunks", found["chunks"], least=1)
    if len(found["shape"]) != len(found["chunks"]):
        raise ValueError(f"{path}: shape and chunks differ in their number of axes")
    if not isinstance(found["fill_value"], None | str | int | float):
        raise ValueError(f"{path}: fill_value is not a number")
    compressor = found["compressor"]
    if not isinstance(compressor, dict | None):
        raise ValueError(f"{path}: compressor is {compressor!r:.40}, expected an object")
    if (compressor or {}).get("id") not in _COMPRESSORS:
        names = ", ".join(map(str, _COMPRESSORS))
        raise ValueError(f"{path}: compressor {compressor!r:.80} is none of {names}")
    if any(isinstance(value, dict | list) for value in (compressor or {}).values()):
        raise ValueError(f"{path}: compressor {compressor!r:.80} has settings of its own")


def _check_chunks(folder: epath.Path, found: dict[str, Any], itemsize: int) -> None:
    """Raise a ValueError unless all chunks exist and are large enough for their values."""
    chunk = math.prod(found["chunks"]) * itemsize
    if chunk > _MAX_BYTES:
        raise ValueError(f"{folder}: chunks of {found['chunks']} exceed {_MAX_BYTES >> 30} GiB")
    counts = [-(-size // part) for size, part in zip(found["shape"], found["chunks"])]
    if found["dimension_separator"] == "/" and len(counts) > 1:
        raise ValueError(f"{folder}: chunks in folders of their own are not read; {AGAIN}")
    names = [path.name for path in folder.iterdir()]
    chunks = [name for name in names if name.replace(".", "").isdecimal()]
    if len(chunks) != math.prod(counts):
        raise ValueError(f"{folder} has {len(chunks)} of {math.prod(counts)} chunks; {AGAIN}")
    for name in chunks:
        size = (folder / plain_name(name, str(folder))).stat().length
        if chunk > _MAX_RATIO * size + _MAX_DESCRIPTION:
            raise ValueError(f"{folder / name}: {size} bytes cannot hold {chunk}; {AGAIN}")
