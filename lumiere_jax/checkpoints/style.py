"""Styles: other spatial parameters for a video model, interpolated with its own.

W = alpha · W_style + (1 - alpha) · W_image for the spatial parameters; those of the temporal half
do not change (Lumiere, section 4). A style is a whole set of spatial parameters, or the factors of
a low-rank difference to them. On disk it is a folder with `style.json` and `style.safetensors`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath

from lumiere_jax.checkpoints.safetensors_file import AGAIN, SafetensorsFile, write_parameters
from lumiere_jax.checkpoints.tree import Params, check_floating, flatten, unflatten
from lumiere_jax.json_files import read_json
from lumiere_jax.models.stunet import is_spatial
from lumiere_jax.video.new_file import new_file, refuse_full

FORMAT = {"format": "lumiere_jax style", "version": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
    """Spatial parameters, or factors of a low-rank difference to the model's own.

    Attributes:
      weights: all spatial parameters; None if the style has factors.
      factors: `{"down": [inputs, rank], "up": [rank, outputs]}` for each matrix; None if the style
        has parameters.
      settings: values that JSON can store, such as the rank and the steps of training.
    """

    weights: Params | None = None
    factors: Params | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if (self.weights is None) == (self.factors is None):
            raise ValueError("a style is weights or factors: give one of the two")


def add_factors(params: Params, factors: Params) -> Params:
    """Return the parameters with the product of each pair of factors added.

    Args:
      params: parameters, JAX or NumPy arrays.
      factors: pairs `down` and `up` of some or all of them, as `read_style` checks.

    Raises:
      ValueError: factors of another architecture.
    """
    flat, difference = flatten(params), flatten(factors)
    names = {path.rpartition("/")[0] for path in difference}
    for name in sorted(names):
        pair = (difference[f"{name}/{end}"] for end in ("down", "up"))
        down, up = (half.astype(jnp.promote_types(half.dtype, jnp.float32)) for half in pair)
        size = None if name not in flat else np.prod(flat[name].shape)
        if size != down.shape[0] * up.shape[-1]:
            raise ValueError(f"this style belongs to another architecture: {name} differs")
        product = (down @ up).reshape(flat[name].shape)
        flat[name] = flat[name] + product.astype(flat[name].dtype)
    return unflatten(flat)


def stylize_params(params: Params, style: Style, alpha: float) -> Params:
    """Return the video model's parameters interpolated with those of a style.

    Args:
      params: parameters of the video model.
      style: style of that model.
      alpha: share of the style, in [0, 1]: 0 gives the model's spatial parameters and 1 the
        style's, bit for bit. Parameters that only video models have are the model's at every alpha.

    Raises:
      ValueError: alpha outside [0, 1], or a style of another architecture.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"--alpha={alpha} is outside [0, 1]; 0.7 is a good start")
    flat = flatten(params)
    spatial = {path: leaf for path, leaf in flat.items() if is_spatial(path)}
    if style.factors is not None:
        styled = flatten(add_factors(unflatten(spatial), style.factors))
    else:
        styled = {path: leaf for path, leaf in flatten(style.weights).items() if path in spatial}
    wrong = [p for p in spatial if p not in styled or styled[p].shape != spatial[p].shape]
    if wrong:
        raise ValueError(
            f"this style belongs to another architecture: {len(wrong)} of {len(spatial)} spatial "
            f"parameters differ, first {wrong[0]}; train it from this model's image stage"
        )
    for path, leaf in spatial.items():
        own = jnp.asarray(leaf, jnp.float32)
        mixed = alpha * jnp.asarray(styled[path], jnp.float32) + (1 - alpha) * own
        flat[path] = mixed.astype(leaf.dtype)
    return unflatten(flat)


def write_style(folder: epath.PathLike, style: Style, *, dtype: Any = None) -> None:
    """Write a style's folder, `style.json` last: a folder without it is unfinished.

    Args:
      folder: folder that does not exist yet, or is empty.
      style: style to write.
      dtype: storage dtype, `bfloat16` or `float32`; None keeps each array's own.

    Raises:
      FileExistsError: the folder is not empty.
    """
    folder = epath.Path(folder)
    refuse_full(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kind = "factors" if style.factors is not None else "weights"
    flat = flatten(getattr(style, kind))
    write_parameters(folder / "style.safetensors", flat, dtype)
    description = FORMAT | {"kind": kind, "settings": dict(style.settings)}
    with new_file(folder / "style.json") as file:
        file.write_text(json.dumps(description, indent=2) + "\n")


def read_style(folder: epath.PathLike) -> Style:
    """Read a style's folder.

    Raises:
      FileNotFoundError: the folder has no `style.json`.
      ValueError: a format or version that this program does not know, or damaged files.
    """
    folder = epath.Path(folder)
    path = folder / "style.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; train a style (--config=…:style)")
    description = read_json(path, advice=AGAIN)
    if {name: description.get(name) for name in FORMAT} != FORMAT:
        raise ValueError(f"{path}: expected {FORMAT['format']}, version {FORMAT['version']}")
    kind, settings = description.get("kind"), description.get("settings")
    if kind not in ("weights", "factors"):
        raise ValueError(f"{path}: kind={kind!r:.80} is neither 'weights' nor 'factors'")
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: settings is {settings!r:.40}, expected an object")
    file = SafetensorsFile(folder / "style.safetensors")
    for name, info in file.tensors.items():
        check_floating(info.dtype, f"{file.path}: {name!r:.100}")
        if any(above in file.tensors for above in _folders(name)):
            raise ValueError(f"{file.path}: {name!r:.100} is inside another parameter")
    if kind == "factors":
        _check_factors(file)
    tree = unflatten({name: file.read(name) for name in file.tensors})
    return Style(**{kind: tree}, settings=settings)


def _folders(name: str) -> list[str]:
    """Return the folders of a path: `a` and `a/b` of `a/b/c`."""
    parts = name.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _check_factors(file: SafetensorsFile) -> None:
    """Raise a ValueError unless the tensors are pairs of matrices that can be multiplied."""
    names = {name.rpartition("/")[0] for name in file.tensors}
    if not names:
        raise ValueError(f"{file.path} has no factors")
    for name in names:
        down, up = (file.tensors.get(f"{name}/{end}", ((), None))[0] for end in ("down", "up"))
        if len(down) != 2 or len(up) != 2 or down[1] != up[0]:
            raise ValueError(f"{file.path}: {name!r:.100} needs down [n, rank] and up [rank, m]")
    if len(file.tensors) != 2 * len(names):
        raise ValueError(f"{file.path}: expected nothing but down and up of each matrix")
