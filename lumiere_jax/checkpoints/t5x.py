"""t5x checkpoints (version 3): a msgpack index and one zarr array per parameter.

`checkpoint` is a Flax msgpack file whose leaves are either arrays or TensorStore specifications of
directories `target.<path joined by dots>` beside it. The package t5x itself is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np
import tensorstore
from etils import epath

from lumiere_jax.checkpoints.safetensors_file import AGAIN, TensorInfo
from lumiere_jax.checkpoints.tree import Params, flatten, unflatten
from lumiere_jax.checkpoints.zarr_metadata import check_zarr
from lumiere_jax.json_files import plain_name, read_bytes
from lumiere_jax.video.new_file import new_file, refuse_full

INDEX = "checkpoint"
_VERSION = 3
_ARRAY, _SCALAR = 1, 3  # Flax's msgpack extension types
_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")
_MAX_DEPTH = 32  # a T5's parameters nest five deep


class T5xCheckpoint:
    """The parameters (`optimizer/target`) of a t5x checkpoint, without its optimizer state.

    Attributes:
      where: path of the folder, for error messages.
      tensors: shape and dtype by path, such as `encoder/layers_0/mlp/wo/kernel`.

    Raises:
      FileNotFoundError: no index, or an array's directory is missing.
      ValueError: not a checkpoint of this format, or an array that differs from the index or lacks
        chunks.
    """

    def __init__(self, folder: epath.PathLike):
        self._folder = epath.Path(folder)
        self.where = str(self._folder)
        path = self._folder / INDEX
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; give a folder like checkpoint_1000000")
        self._leaves = _leaves(_read_index(path), str(path))
        self.tensors = {name: self._info(leaf) for name, leaf in self._leaves.items()}

    def read(self, name: str) -> np.ndarray:
        """Return the array of that path.

        Raises:
          ValueError: a chunk is damaged.
        """
        leaf = self._leaves[name]
        if isinstance(leaf, np.ndarray):
            return leaf
        path = self._path(leaf)
        try:
            store = tensorstore.open(_spec(path), read=True, open=True).result()
            return np.asarray(store.read().result())
        except Exception as error:  # damaged files raise one of several types
            raise ValueError(f"{path}: {str(error).splitlines()[0]:.300}") from None

    def _info(self, leaf: Any) -> TensorInfo:
        if isinstance(leaf, np.ndarray):
            return TensorInfo(leaf.shape, leaf.dtype)
        path = self._path(leaf)
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such array, but {self._folder / INDEX} names it")
        metadata = leaf.get("metadata", {})
        return check_zarr(path, metadata if isinstance(metadata, dict) else {})

    def _path(self, leaf: Mapping[str, Any]) -> epath.Path:
        """Return the folder of an array: beside the index, even if the index names another path."""
        store = leaf["kvstore"]
        where = store.get("path") if isinstance(store, dict) else None
        if not isinstance(where, str):
            raise ValueError(f"{self._folder / INDEX}: an array without a path; {AGAIN}")
        name = where.rstrip("/").rpartition("/")[2]
        return self._folder / plain_name(name, str(self._folder / INDEX))


def _read_index(path: epath.Path) -> Mapping[str, Any]:
    """Return the tree of the parameters in a msgpack index."""
    try:
        index = msgpack.unpackb(
            read_bytes(path), ext_hook=_decode_array, strict_map_key=False, object_pairs_hook=_once
        )
        target = index["optimizer"]["target"]
        if not isinstance(target, dict):
            raise TypeError
    # msgpack's errors have no common type, and it limits sizes by that of the file.
    except Exception as error:
        raise ValueError(
            f"{path} is not the index of a t5x checkpoint ({type(error).__name__}); {AGAIN}"
        ) from None
    return target


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _spec(path: epath.Path) -> dict[str, Any]:
    text = str(path)
    if text.startswith("gs://"):
        bucket, _, inside = text.removeprefix("gs://").partition("/")
        return {
            "driver": "zarr",
            "kvstore": {"driver": "gcs", "bucket": bucket, "path": inside + "/"},
        }
    return {"driver": "zarr", "kvstore": {"driver": "file", "path": text + "/"}}


def _leaves(tree: Mapping[str, Any], where: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the array or TensorStore specification of each path."""
    if len(above) > _MAX_DEPTH:
        raise ValueError(f"{where} nests deeper than {_MAX_DEPTH} levels; {AGAIN}")
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(key, str) or "/" in key:
            raise ValueError(f"{where}: {key!r:.80} cannot name a parameter; {AGAIN}")
        if isinstance(value, dict) and "kvstore" not in value:
            leaves |= _leaves(value, where, (*above, key))
        elif isinstance(value, dict | np.ndarray):
            leaves["/".join((*above, key))] = value
        else:
            raise ValueError(f"{where}: {key!r:.80} is not an array; {AGAIN}")
    return leaves


def _decode_array(code: int, data: bytes) -> np.ndarray:
    """Return an array that Flax packed as (shape, dtype name, bytes)."""
    if code not in (_ARRAY, _SCALAR):
        raise ValueError(f"unknown msgpack extension {code}")
    shape, dtype, buffer = msgpack.unpackb(data, raw=True)
    dtype = dtype.decode() if isinstance(dtype, bytes) else dtype
    if dtype not in _DTYPES or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"an array of {dtype!r:.40}")
    array = np.frombuffer(buffer, jnp.dtype(dtype))
    return array.reshape(shape if code == _ARRAY else ())


def write_t5x_arrays(folder: epath.PathLike, arrays: Mapping[str, Any], step: int) -> None:
    """Write arrays as a checkpoint that t5x restores as parameters, its index last.

    It has no optimizer state, as t5x's own released checkpoints with `save_optimizer_state=False`.

    Args:
      folder: folder that does not exist yet, or is empty.
      arrays: array of each path in t5x's parameter tree.
      step: training step that the index names.

    Raises:
      FileExistsError: the folder is not empty.
    """
    folder = epath.Path(folder)
    refuse_full(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = {}
    for path, array in flatten(unflatten(dict(arrays))).items():
        target[path] = _write_array(folder, path, np.asarray(array))
    index: Params = {
        "version": _VERSION,
        "optimizer": {"target": unflatten(target), "state": {"step": np.int32(step)}},
    }
    with new_file(folder / INDEX) as file:
        file.write_bytes(msgpack.packb(index, default=_encode_array))


def _write_array(folder: epath.Path, path: str, array: np.ndarray) -> dict[str, Any]:
    """Write one zarr directory; return its entry in the index."""
    name = "target." + path.replace("/", ".")
    metadata = {
        "chunks": list(array.shape),
        "compressor": {"id": "gzip", "level": 1},
        "shape": list(array.shape),
    }
    dtype = array.dtype.name
    spec = _spec(folder / name) | {"metadata": metadata, "dtype": dtype}
    spec["store_data_equal_to_fill_value"] = True  # or a chunk of zeros would be missing
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
