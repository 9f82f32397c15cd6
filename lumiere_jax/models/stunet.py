"""STUNet: an image U-Net and its temporal half, and how one becomes the other.

An image checkpoint is the spatial half of a video model. Inflating it means adding a fresh
temporal half, with which the video model still computes the image model (Lumiere, section 3.1,
appendix B): `stunet(video)[:, ::N]` equals `image(video[:, ::N])`, N the temporal factor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax

from lumiere_jax.models.config import TemporalConfig, UNetConfig
from lumiere_jax.models.network import Network, Params, network

TEMPORAL = "temporal"
OBSERVATION = "observation"


def inflate(config: UNetConfig, temporal: TemporalConfig) -> UNetConfig:
    """The video model whose spatial half is the image model `config`."""
    return dataclasses.replace(config, temporal=temporal)


def spatial_half(config: UNetConfig) -> UNetConfig:
    """The image model inside a video model; it takes any number of frames, each on its own."""
    return dataclasses.replace(config, temporal=None)


def spatial_params(params: Mapping) -> Params:
    """The parameters of the spatial half: every path without the component `temporal`."""
    return {
        name: spatial_params(value) if isinstance(value, Mapping) else value
        for name, value in params.items()
        if name != TEMPORAL
    }


def inflate_params(video: Network, image: Params, key: jax.Array) -> Params:
    """Parameters of the video model: the image model's own and a fresh temporal half.

    Only the parts that `image` lacks are kept from the fresh initialisation; under `jax.jit` the
    rest is never computed.

    Raises:
      ValueError: `image` is not the spatial half of `video`; names the paths that differ.
    """
    fresh = jax.jit(lambda key: _without(video.init(key), image))(key)
    merged = _merge(fresh, image)
    _check_same(video.shapes(), merged)
    return merged


def image_network(config: UNetConfig, **options) -> Network:
    """The network of the spatial half."""
    return network(spatial_half(config), **options)


def _without(params: Mapping, other: Mapping) -> Params:
    """What of `params` is not in `other`."""
    out = {}
    for name, value in params.items():
        if name not in other:
            out[name] = value
        elif isinstance(value, Mapping) and (rest := _without(value, other[name])):
            out[name] = rest
    return out


def _merge(first: Mapping, second: Mapping) -> Params:
    out = dict(first)
    for name, value in second.items():
        inner = isinstance(value, Mapping) and name in out
        out[name] = _merge(out[name], value) if inner else value
    return out


def _check_same(expected: Params, params: Params) -> None:
    want, have = _flat_shapes(expected), _flat_shapes(params)
    wrong = sorted(path for path in want.keys() | have.keys() if want.get(path) != have.get(path))
    if wrong:
        path = wrong[0]
        raise ValueError(
            f"the image model does not fit: {len(wrong)} parameters differ, first {path}: "
            f"expected {want.get(path)}, got {have.get(path)}"
        )


def _flat_shapes(params: Params) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {"/".join(str(k.key) for k in path): leaf.shape for path, leaf in leaves}
