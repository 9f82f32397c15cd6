"""The description of a zarr array (version 2), checked before TensorStore reads it.

TensorStore ends the process on nesting of a few thousand levels and on chunks larger than the
memory, so that neither may reach it. It also takes a chunk that is not there for zeros.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from etils import epath

from lumiere_jax.checkpoints.safetensors_file import AGAIN, TensorInfo
from lumiere_jax.json_files import parse_json, plain_name, read_bytes
from lumiere_jax.structure import check_choice, check_whole

_MAX_DESCRIPTION = 1 << 16  # bytes; they have a few hundred
_MAX_AXES = 8
_MAX_BYTES = 16 << 30  # of an array; the largest table of any T5 has 4 GB in float32
_MAX_RATIO = 1032  # the most that gzip can make of a byte
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


def check_zarr(folder: epath.Path, expected: dict[str, Any]) -> TensorInfo:
    """Return the shape and dtype of a zarr array, once it is known to be safe to read.

    Args:
      folder: the array's, with `.zarray` and its chunks.
      expected: shape and chunks that the checkpoint's index says it has; may lack them.

    Raises:
      FileNotFoundError: no `.zarray` there.
      ValueError: a description out of bounds, another one than the index has, or chunks missing.
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
            raise ValueError(f"{path}: {field} is {found[field]}, but the index says another")
    info = TensorInfo(tuple(found["shape"]), np.dtype(_DTYPES[found["dtype"]]))
    if info.bytes > _MAX_BYTES:
        raise ValueError(f"{path}: {info.shape} is larger than {_MAX_BYTES >> 30} GiB")
    _check_chunks(folder, found, info.dtype.itemsize)
    return info


def _check_values(path: epath.Path, found: dict[str, Any]) -> None:
    """Raise a ValueError for a shape, a compressor or a fill value out of bounds."""
    for field, least in (("shape", 0), ("chunks", 1)):
        sizes = found[field]
        if not isinstance(sizes, list) or len(sizes) > _MAX_AXES:
            raise ValueError(f"{path}: {field} is {sizes!r:.80}, expected a few whole numbers")
        for size in sizes:
            check_whole(f"{path}: {field}", size, least, 1 << 40)
    if len(found["shape"]) != len(found["chunks"]):
        raise ValueError(f"{path}: shape and chunks differ in their number of axes")
    if not isinstance(found["fill_value"], None | str | int | float):
        raise ValueError(f"{path}: fill_value is no number")
    compressor = found["compressor"]
    if not isinstance(compressor, dict | None):
        raise ValueError(f"{path}: compressor is {compressor!r:.40}, expected an object")
    if (compressor or {}).get("id") not in _COMPRESSORS:
        names = ", ".join(map(str, _COMPRESSORS))
        raise ValueError(f"{path}: compressor {compressor!r:.80} is none of {names}")
    if any(isinstance(value, dict | list) for value in (compressor or {}).values()):
        raise ValueError(f"{path}: compressor {compressor!r:.80} has settings of its own")


def _check_chunks(folder: epath.Path, found: dict[str, Any], itemsize: int) -> None:
    """Raise a ValueError unless all chunks are there, large enough for what they are to hold."""
    chunk = math.prod(found["chunks"]) * itemsize
    if chunk > _MAX_BYTES:
        raise ValueError(f"{folder}: chunks of {found['chunks']} exceed {_MAX_BYTES >> 30} GiB")
    counts = [-(-size // part) for size, part in zip(found["shape"], found["chunks"])]
    if found["dimension_separator"] == "/" and len(counts) > 1:
        raise ValueError(f"{folder}: chunks in folders of their own are not read; {AGAIN}")
    names = [path.name for path in folder.iterdir()]
    chunks = [name for name in names if name.replace(".", "").isdecimal()]
    if len(chunks) != math.prod(counts):
        raise ValueError(
            f"{folder}: {len(chunks)} chunks of {math.prod(counts)} are there; {AGAIN}"
        )
    for name in chunks:
        size = (folder / plain_name(name, str(folder))).stat().length
        if chunk > _MAX_RATIO * size + _MAX_DESCRIPTION:
            raise ValueError(f"{folder / name}: {size} bytes cannot hold {chunk}; {AGAIN}")
