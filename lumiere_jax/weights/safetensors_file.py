"""Safetensors files, read and written one tensor at a time.

The format (huggingface/safetensors, "Format"): eight bytes with the header's length, a JSON header
`name → {dtype, shape, data_offsets}`, then the tensors. Read here with plain seeks instead of a
memory map, so that the pages of tensors already on the device do not stay in host memory.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from etils import epath

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
_MAX_HEADER = 100_000_000  # The format's own limit; a larger number means another kind of file.


class TensorInfo(NamedTuple):
    """What a header says of one tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype


class SafetensorsFile:
    """One safetensors file: its header in memory, its tensors on disk.

    Attributes:
      path: the file.
      tensors: name → shape and dtype.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is cut short or is not in this format.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such file")
        header, self._start = _read_header(self.path)
        header.pop("__metadata__", None)
        self._offsets: dict[str, int] = {}
        self.tensors: dict[str, TensorInfo] = {}
        size = self.path.stat().length
        for name, entry in header.items():
            self._add(name, entry, size)

    def _add(self, name: str, entry: dict, size: int) -> None:
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"{self.path}: {name} has the dtype {entry['dtype']}; expected BF16")
        info = TensorInfo(tuple(entry["shape"]), _DTYPES[entry["dtype"]])
        begin, end = entry["data_offsets"]
        if end - begin != int(np.prod(info.shape, dtype=np.int64)) * info.dtype.itemsize:
            raise ValueError(f"{self.path}: {name} {info.shape} has {end - begin} bytes of data")
        if self._start + end > size:
            raise ValueError(
                f"{self.path} is truncated: {name} ends at byte {self._start + end} "
                f"of {size}; download it again"
            )
        self.tensors[name], self._offsets[name] = info, self._start + begin

    def read(self, name: str) -> np.ndarray:
        """The tensor of that name, in the precision it is stored in."""
        info = self.tensors[name]
        count = int(np.prod(info.shape, dtype=np.int64)) * info.dtype.itemsize
        with self.path.open("rb") as file:
            file.seek(self._offsets[name])
            data = file.read(count)
        if len(data) != count:
            raise ValueError(f"{self.path} is truncated at {name}; download it again")
        return np.frombuffer(data, info.dtype).reshape(info.shape)


def _read_header(path: epath.Path) -> tuple[dict, int]:
    """The JSON header and the byte where the tensors begin."""
    problem = f"{path} is not a safetensors file, or is truncated in its header; download it again"
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= _MAX_HEADER:
            raise ValueError(problem)
        try:
            header = json.loads(file.read(length))
        except ValueError:
            raise ValueError(problem) from None
    return header, 8 + length


def write_safetensors(
    path: epath.PathLike,
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes `read(name)` for every name in `tensors`, holding one at a time.

    Raises:
      FileExistsError: the file is there already.
      ValueError: a tensor differs from its announced shape or dtype.
    """
    path = epath.Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; name another file or remove it")
    header: dict = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, info in tensors.items():
        size = int(np.prod(info.shape, dtype=np.int64)) * info.dtype.itemsize
        entry = {"dtype": _NAMES[info.dtype], "shape": list(info.shape)}
        header[name] = entry | {"data_offsets": [position, position + size]}
        position += size
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # Tensors start aligned.
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, info in tensors.items():
            array = np.asarray(read(name))
            if (array.shape, array.dtype) != info:
                raise ValueError(f"{path}: {name} is {array.dtype}{array.shape}, not {info}")
            file.write(np.ascontiguousarray(array).tobytes())


def write_parameters(path: epath.PathLike, flat: Mapping[str, Any], dtype: Any = None) -> None:
    """Writes named arrays, of JAX or NumPy.

    Args:
      path: of the new file.
      flat: name → array.
      dtype: `bfloat16` or `float32`; None keeps each array's own.
    """
    tensors = {
        name: TensorInfo(tuple(leaf.shape), np.dtype(dtype or leaf.dtype))
        for name, leaf in flat.items()
    }
    write_safetensors(
        path, tensors, lambda name: np.asarray(flat[name]).astype(tensors[name].dtype, copy=False)
    )
