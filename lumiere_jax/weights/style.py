"""Styles: other spatial weights for a video model, and how far to go towards them.

W = alpha · W_style + (1 - alpha) · W_image over the spatial half; the temporal weights stay as they
are (Lumiere, section 4). A style is a whole set of spatial weights, or factors of a low-rank
difference to them. On disk it is a folder with `style.json` and `style.safetensors`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath

from lumiere_jax.models.stunet import OBSERVATION, TEMPORAL
from lumiere_jax.weights.safetensors_file import SafetensorsFile, write_parameters
from lumiere_jax.weights.tree import Params, flatten, unflatten

FORMAT = {"format": "lumiere_jax style", "version": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
    """One of the two, and settings such as the rank and the steps of training.

    Attributes:
      weights: the spatial weights themselves.
      factors: for each matrix `{"down": [inputs, rank], "up": [rank, outputs]}`.
      settings: anything that JSON holds.
    """

    weights: Params | None = None
    factors: Params | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if (self.weights is None) == (self.factors is None):
            raise ValueError("a style is weights or factors: give one of the two")


def add_factors(params: Params, factors: Params) -> Params:
    """The parameters with the product of each pair of factors added; any jax or NumPy arrays.

    Raises:
      ValueError: factors of another architecture.
    """
    flat, difference = flatten(params), flatten(factors)
    names = {path.rpartition("/")[0] for path in difference}
    for name in sorted(names):
        down, up = (difference[f"{name}/{end}"].astype(np.float32) for end in ("down", "up"))
        size = None if name not in flat else np.prod(flat[name].shape)
        if size != down.shape[0] * up.shape[-1]:
            raise ValueError(f"this style belongs to another architecture: {name} differs")
        product = (down @ up).reshape(flat[name].shape)
        flat[name] = flat[name] + product.astype(flat[name].dtype)
    return unflatten(flat)


def stylize_params(params: Params, style: Style, alpha: float) -> Params:
    """The video model's parameters `alpha` of the way to the style.

    0 gives the model's own spatial weights and 1 the style's, bit for bit; what is temporal, or
    reads an observed video, is the model's at every alpha.

    Raises:
      ValueError: alpha outside [0, 1], or a style of another architecture.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"--alpha={alpha} is outside [0, 1]; 0.7 is a good start")
    flat = flatten(params)
    spatial = {path: leaf for path, leaf in flat.items() if not _is_video(path)}
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


def _is_video(path: str) -> bool:
    return bool({TEMPORAL, OBSERVATION} & set(path.split("/")))


def write_style(folder: epath.PathLike, style: Style, *, dtype: Any = None) -> None:
    """Writes a style's folder; `style.json` last, so that one without it is unfinished.

    Args:
      folder: a folder that does not exist yet, or is empty.
      style: weights or factors.
      dtype: `bfloat16` or `float32`; None keeps each array's own.

    Raises:
      FileExistsError: something is in the folder already.
    """
    folder = epath.Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; name another folder or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    kind = "factors" if style.factors is not None else "weights"
    flat = flatten(getattr(style, kind))
    write_parameters(folder / "style.safetensors", flat, dtype)
    description = FORMAT | {"kind": kind, "settings": dict(style.settings)}
    (folder / "style.json").write_text(json.dumps(description, indent=2) + "\n")


def read_style(folder: epath.PathLike) -> Style:
    """Reads what `write_style` wrote.

    Raises:
      FileNotFoundError: no `style.json` there.
      ValueError: a format or version that this program does not know.
    """
    folder = epath.Path(folder)
    path = folder / "style.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; train a style (--config=…:style)")
    description = json.loads(path.read_text())
    if {name: description.get(name) for name in FORMAT} != FORMAT:
        raise ValueError(f"{path}: expected {FORMAT['format']}, version {FORMAT['version']}")
    kind = description["kind"]
    if kind not in ("weights", "factors"):
        raise ValueError(f"{path}: kind={kind!r} is neither 'weights' nor 'factors'")
    file = SafetensorsFile(folder / "style.safetensors")
    tree = unflatten({name: file.read(name) for name in file.tensors})
    return Style(**{kind: tree}, settings=description["settings"])
