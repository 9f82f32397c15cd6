"""t5x checkpoints (version 3): a msgpack index and one zarr array a parameter.

`checkpoint` is a Flax msgpack file whose leaves are either arrays or TensorStore specifications of
directories `target.<path joined by dots>` beside it. The package t5x itself is never needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np
import tensorstore
from etils import epath

from lumiere_jax.weights.safetensors_file import TensorInfo
from lumiere_jax.weights.tree import Params, flatten, unflatten

INDEX = "checkpoint"
_VERSION = 3
_ARRAY, _SCALAR = 1, 3  # Flax's msgpack extension types.


class T5xCheckpoint:
    """The parameters (`optimizer/target`) of a t5x checkpoint; its optimizer state is left out.

    Attributes:
      where: the folder.
      tensors: path such as `encoder/layers_0/mlp/wo/kernel` → shape and dtype.

    Raises:
      FileNotFoundError: no index, or an array's directory is missing.
      ValueError: not a checkpoint of this format.
    """

    def __init__(self, folder: epath.PathLike):
        self._folder = epath.Path(folder)
        self.where = str(self._folder)
        path = self._folder / INDEX
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; give a folder like checkpoint_1000000")
        try:
            index = msgpack.unpackb(path.read_bytes(), ext_hook=_decode_array, strict_map_key=False)
            target = index["optimizer"]["target"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not the index of a t5x checkpoint") from None
        self._leaves = _leaves(target)
        self.tensors = {name: self._info(leaf) for name, leaf in self._leaves.items()}

    def read(self, name: str) -> np.ndarray:
        """The array of that path, all of its chunks."""
        leaf = self._leaves[name]
        return (
            leaf if isinstance(leaf, np.ndarray) else np.asarray(self._open(leaf).read().result())
        )

    def _info(self, leaf: Any) -> TensorInfo:
        if isinstance(leaf, np.ndarray):
            return TensorInfo(leaf.shape, leaf.dtype)
        store = self._open(leaf)
        return TensorInfo(tuple(store.shape), np.dtype(store.dtype.numpy_dtype))

    def _open(self, leaf: Mapping[str, Any]) -> tensorstore.TensorStore:
        name = leaf["kvstore"]["path"].rstrip("/").rsplit("/", 1)[-1]
        path = self._folder / name
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such array, but {self._folder / INDEX} names it")
        try:
            return tensorstore.open(_spec(path), read=True, open=True).result()
        except ValueError as error:
            raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None


def _spec(path: epath.Path) -> dict[str, Any]:
    text = str(path)
    if text.startswith("gs://"):
        bucket, _, inside = text.removeprefix("gs://").partition("/")
        return {
            "driver": "zarr",
            "kvstore": {"driver": "gcs", "bucket": bucket, "path": inside + "/"},
        }
    return {"driver": "zarr", "kvstore": {"driver": "file", "path": text + "/"}}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Path → array or TensorStore specification."""
    leaves = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and "kvstore" not in value:
            leaves |= _leaves(value, f"{prefix}{key}/")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _decode_array(code: int, data: bytes) -> np.ndarray:
    """An array as Flax packs it: (shape, dtype name, bytes)."""
    if code not in (_ARRAY, _SCALAR):
        raise ValueError(f"unknown msgpack extension {code}")
    shape, dtype, buffer = msgpack.unpackb(data, raw=True)
    dtype = dtype.decode() if isinstance(dtype, bytes) else dtype
    array = np.frombuffer(buffer, jnp.dtype(dtype))
    return array.reshape(shape if code == _ARRAY else ())


def write_t5x_arrays(folder: epath.PathLike, arrays: Mapping[str, Any], step: int) -> None:
    """Writes arrays by t5x path as a checkpoint that t5x restores as parameters.

    The index is written last and names the step; there is no optimizer state, as in t5x's own
    released checkpoints with `save_optimizer_state=False`.

    Raises:
      FileExistsError: something is in the folder already.
    """
    folder = epath.Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose another --output or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    target = {}
    for path, array in flatten(unflatten(dict(arrays))).items():
        target[path] = _write_array(folder, path, np.asarray(array))
    index: Params = {
        "version": _VERSION,
        "optimizer": {"target": unflatten(target), "state": {"step": np.int32(step)}},
    }
    (folder / INDEX).write_bytes(msgpack.packb(index, default=_encode_array))


def _write_array(folder: epath.Path, path: str, array: np.ndarray) -> dict[str, Any]:
    """Writes one zarr directory; returns its entry in the index."""
    name = "target." + path.replace("/", ".")
    metadata = {
        "chunks": list(array.shape),
        "compressor": {"id": "gzip", "level": 1},
        "shape": list(array.shape),
    }
    dtype = array.dtype.name
    spec = _spec(folder / name) | {"metadata": metadata, "dtype": dtype}
    store = tensorstore.open(spec, create=True, delete_existing=False).result()
    store.write(array).result()
    return {
        "driver": "zarr",
        "dtype": dtype,
        "kvstore": {"driver": "file", "path": name + "/"},
        "metadata": metadata,
    }


def _encode_array(value: Any) -> msgpack.ExtType:
    array = np.asarray(value)
    return msgpack.ExtType(_ARRAY, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))
