"""STUNet as an image U-Net and a temporal half.

An image checkpoint is the spatial half of a video model. Inflating it means adding a fresh
temporal half, with which the video model still computes the image model (Lumiere, section 3.1,
appendix B): `stunet(video)[:, ::N]` equals `image(video[:, ::N])`, N the temporal factor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
from flax import traverse_util

from lumiere_jax.models.config import TemporalConfig, UNetConfig
from lumiere_jax.models.network import Network, Params, network

VIDEO_MODULES = frozenset({"temporal", "observation"})
"""Modules that only video models have: the temporal half, and the convolution that reads an
observed video. A parameter is spatial, and so the image model's, if its path names none of them."""


def is_spatial(path: str) -> bool:
    """Return True for a parameter of the image model, False for one that only a video model has.

    Args:
      path: '/'-joined path in the parameter tree, such as "down_0_block_1/temporal/norm/scale".
    """
    return VIDEO_MODULES.isdisjoint(path.split("/"))


def spatial_params(params: Mapping) -> Params:
    """Return the spatial parameters of a tree: those of the image model."""
    return {
        name: spatial_params(value) if isinstance(value, Mapping) else value
        for name, value in params.items()
        if is_spatial(name)
    }


def spatial_half(config: UNetConfig) -> UNetConfig:
    """Return the image model inside a video model, whose parameters are `spatial_params`.

    It takes any number of frames, each on its own.
    """
    return dataclasses.replace(config, temporal=None, observed=False)


def image_network(config: UNetConfig, **options) -> Network:
    """Return the network of the spatial half; `options` are those of `network`."""
    return network(spatial_half(config), **options)


def inflate(config: UNetConfig, temporal: TemporalConfig) -> UNetConfig:
    """Return the video model whose spatial half is the image model `config`."""
    return dataclasses.replace(config, temporal=temporal)


def inflate_params(video: Network, image: Params, key: jax.Array, **options) -> Params:
    """Return parameters of the video model: the image model's own and a fresh temporal half.

    Args:
      video: network of `inflate(config, …)`.
      image: parameters of the image model, kept as they are (dtype and sharding too).
      key: random key of the fresh half.
      **options: `shardings` for the fresh half (see `Network.init`).

    Raises:
      ValueError: `image` is not the spatial half of `video`; names a path that differs.
    """
    missing = flat_paths(image_network(video.config).shapes()) - flat_paths(image)
    if missing:
        raise ValueError(
            f"the image model lacks {len(missing)} parameters of the video model's spatial half, "
            f"first {min(missing)}"
        )
    return video.init(key, given=image, **options)


def flat_paths(params: Params) -> set[str]:
    """Return the '/'-joined paths of a parameter tree."""
    return set(traverse_util.flatten_dict(params, sep="/"))
