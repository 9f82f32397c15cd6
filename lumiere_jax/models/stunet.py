"""STUNet: an image U-Net and its temporal half, and how one becomes the other.

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


def inflate_params(video: Network, image: Params, key: jax.Array, **options) -> Params:
    """Parameters of the video model: the image model's own and a fresh temporal half.

    Args:
      video: the network of `inflate(config, …)`.
      image: parameters of the image model, kept as they are (dtype and sharding too).
      key: of the fresh half.
      **options: `shardings` for the fresh half (see `Network.init`).

    Raises:
      ValueError: `image` is not the spatial half of `video`; names a path that differs.
    """
    missing = flat_paths(network(spatial_half(video.config)).shapes()) - flat_paths(image)
    missing = {path for path in missing if not path.startswith(OBSERVATION)}
    if missing:
        raise ValueError(
            f"the image model lacks {len(missing)} parameters of the video model's spatial half, "
            f"first {min(missing)}"
        )
    return video.init(key, given=image, **options)


def image_network(config: UNetConfig, **options) -> Network:
    """The network of the spatial half."""
    return network(spatial_half(config), **options)


def flat_paths(params: Params) -> set[str]:
    """The '/'-joined paths of a parameter tree."""
    return set(traverse_util.flatten_dict(params, sep="/"))
