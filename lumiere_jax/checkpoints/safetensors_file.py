"""Safetensors files, read and written one tensor at a time.

The format (huggingface/safetensors, "Format"): eight bytes with the header's length, a JSON header
`name → {dtype, shape, data_offsets}`, then the tensors. This module reads with seeks instead of a
memory map, so that the pages of tensors already on the device do not stay in host memory.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from etils import epath

from lumiere_jax.json_files import check_regular, parse_json
from lumiere_jax.video.new_file import refuse_existing

_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_AXES = 32  # NumPy has 64
_MAX_HEADER = 100_000_000  # bytes, the format's own limit; other kinds of files exceed it
_POINTER = b"version https://git-lfs"
AGAIN = "download it again"


class TensorInfo(NamedTuple):
    """Shape and dtype of a stored tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        """Return the number of bytes of the tensor's data."""
        return math.prod(self.shape) * self.dtype.itemsize


class SafetensorsFile:
    """One safetensors file: its header in memory, its tensors on disk.

    Attributes:
      path: path of the file.
      tensors: shape and dtype of each tensor by name.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is truncated or not in this format, such as tensors that overlap, leave
        a gap, or reach past the end. Bytes after the last tensor are ignored.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such file")
        check_regular(self.path)
        header, self._start, size = _read_header(self.path)
        self._offsets: dict[str, int] = {}
        self.tensors: dict[str, TensorInfo] = {}
        ranges = []
        for name, entry in header.items():
            info, begin, end = _entry(entry, f"{self.path}: {name!r:.100}")
            if self._start + end > size:
                raise ValueError(
                    f"{self.path} is truncated: {name!r:.100} ends at byte {self._start + end} "
                    f"of {size}; {AGAIN}"
                )
            self.tensors[name], self._offsets[name] = info, self._start + begin
            ranges.append((begin, end, name))
        self._check_contiguous(sorted(ranges))

    def _check_contiguous(self, ranges: list[tuple[int, int, str]]) -> None:
        """Raise a ValueError unless every byte up to the last belongs to exactly one tensor."""
        position = 0
        for begin, end, name in ranges:
            if begin != position:
                problem = "overlaps another tensor" if begin < position else "leaves a gap"
                raise ValueError(f"{self.path}: {name!r:.100} {problem} at byte {begin}; {AGAIN}")
            position = end

    def read(self, name: str) -> np.ndarray:
        """Return the tensor of that name in its stored precision."""
        info = self.tensors[name]
        with self.path.open("rb") as file:
            file.seek(self._offsets[name])
            data = file.read(info.bytes)
        if len(data) != info.bytes:
            raise ValueError(f"{self.path} is truncated at {name}; {AGAIN}")
        return np.frombuffer(data, info.dtype).reshape(info.shape)


def _read_header(path: epath.Path) -> tuple[dict[str, Any], int, int]:
    """Return the header's entries, the offset of the tensors in bytes, and the file's size."""
    size = path.stat().length
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise ValueError(_not_safetensors(path, prefix + file.read(len(_POINTER))))
        data = file.read(length)
    header = parse_json(data, f"the header of {path}")
    if not isinstance(header, dict):
        raise ValueError(f"the header of {path} is not an object; {AGAIN}")
    metadata = header.pop("__metadata__", None)
    known = {} if metadata is None else metadata
    if not isinstance(known, dict) or not all(isinstance(text, str) for text in known.values()):
        raise ValueError(f"the header of {path} has a __metadata__ that is not text; {AGAIN}")
    return header, 8 + length, size


def _not_safetensors(path: epath.Path, begin: bytes) -> str:
    if begin.startswith(_POINTER):
        return f"{path} is a Git LFS pointer, not the file itself; run git lfs pull"
    if begin.lstrip().startswith(b"<"):
        return f"{path} is a web page, not a safetensors file; {AGAIN}"
    return f"{path} is not a safetensors file, or is truncated in its header; {AGAIN}"


def _entry(entry: Any, where: str) -> tuple[TensorInfo, int, int]:
    """Return the tensor that an entry of a header describes, and the range of its data in bytes."""
    fields = ("dtype", "shape", "data_offsets")
    if not isinstance(entry, dict) or any(field not in entry for field in fields):
        raise ValueError(f"{where} lacks one of {', '.join(fields)}; {AGAIN}")
    dtype, shape, offsets = (entry[field] for field in fields)
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{where} has the dtype {dtype!r:.40}; expected F32, F16 or BF16")
    for field, value in (("shape", shape), ("data_offsets", offsets)):
        numbers = isinstance(value, list) and all(type(number) is int for number in value)
        if not numbers or min(value, default=0) < 0 or len(value) > _MAX_AXES:
            raise ValueError(f"{where} has the {field} {value!r:.80}; {AGAIN}")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{where} has the data_offsets {offsets}; {AGAIN}")
    info = TensorInfo(tuple(shape), _DTYPES[dtype])
    if offsets[1] - offsets[0] != info.bytes:
        raise ValueError(f"{where} {info.shape} has {offsets[1] - offsets[0]} bytes of data")
    if max(shape, default=0) > np.iinfo(np.int64).max:  # another axis of it is 0
        raise ValueError(f"{where} has the shape {shape!r:.80}; {AGAIN}")
    return info, *offsets


def write_safetensors(
    path: epath.PathLike,
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors as a safetensors file, with one at a time in memory.

    Args:
      path: new file.
      tensors: shape and dtype of each tensor by name.
      read: function of a name that returns the tensor.
      metadata: texts for the header's `__metadata__`.

    Raises:
      FileExistsError: the file exists already.
      ValueError: a tensor differs from its announced shape or dtype.
    """
    path = epath.Path(path)
    refuse_existing(path)
    header: dict = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, info in tensors.items():
        entry = {"dtype": _NAMES[info.dtype], "shape": list(info.shape)}
        header[name] = entry | {"data_offsets": [position, position + info.bytes]}
        position += info.bytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # aligns the tensors
    # "x" does not follow a link that somebody made in the meantime; object stores do not have it.
    with path.open("wb") if "://" in str(path) else open(path, "xb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, info in tensors.items():
            array = np.asarray(read(name))
            if (array.shape, array.dtype) != tuple(info):
                raise ValueError(f"{path}: {name} is {array.dtype}{array.shape}, not {info}")
            file.write(np.ascontiguousarray(array).tobytes())


def write_parameters(path: epath.PathLike, flat: Mapping[str, Any], dtype: Any = None) -> None:
    """Write arrays as a safetensors file.

    Args:
      path: new file.
      flat: JAX or NumPy array of each name.
      dtype: storage dtype, `bfloat16` or `float32`; None keeps each array's own.
    """
    tensors = {
        name: TensorInfo(tuple(leaf.shape), np.dtype(dtype or leaf.dtype))
        for name, leaf in flat.items()
    }
    write_safetensors(
        path, tensors, lambda name: np.asarray(flat[name]).astype(tensors[name].dtype, copy=False)
    )
