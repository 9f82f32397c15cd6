"""Inflation of stored image models, and the check that they still compute the image model."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lumiere_jax.checkpoints.importing import without_learned_variance
from lumiere_jax.checkpoints.model_folder import Part
from lumiere_jax.checkpoints.tree import Params, flatten
from lumiere_jax.models.config import TemporalConfig, UNetConfig
from lumiere_jax.models.network import network
from lumiere_jax.models.stunet import (
    image_network,
    inflate,
    inflate_params,
    is_spatial,
    spatial_params,
)
from lumiere_jax.text.text import Text

TOLERANCE = 1e-4


def inflate_part(
    part: Part,
    *,
    size: int | None = None,
    frames: int = 16,
    temporal: TemporalConfig | None = None,
    seed: int = 0,
) -> Part:
    """Return a video model whose spatial half is the image model `part` (Lumiere, section 3.1).

    Args:
      part: image model.
      size: pixels per side of its clips; the image model's when None.
      frames: number of frames of its clips.
      temporal: configuration of the temporal half; heads as wide as the spatial ones when None.
      seed: seed of the temporal parameters that do not start at zero or one.

    Raises:
      ValueError: the model is inflated already, or the resizes do not divide the size or the number
        of frames.
    """
    if part.config.temporal is not None:
        raise ValueError("this U-Net is inflated already; leave out --inflate")
    size = size or part.settings.get("size")
    if size is None:
        raise ValueError("--size is missing, and the image model does not name one: try --size=64")
    temporal = temporal or TemporalConfig(head_dim=part.config.head_dim)
    config = inflate(part.config, temporal)
    for flag, value, factor in (
        ("size", size, config.spatial_factor),
        ("frames", frames, config.temporal_factor),
    ):
        if value % factor or value < 1:
            near = max(factor, round(value / factor) * factor)
            raise ValueError(f"--{flag}={value} is not divisible by {factor}; --{flag}={near} is")
    params = inflate_params(network(config), part.params, jax.random.key(seed))
    settings = without_learned_variance(dict(part.settings))
    settings |= {"size": size, "frames": frames}
    return Part(config=config, params=params, settings=settings)


def check_inflation(video: Part, seed: int = 0) -> float:
    """Compare a fresh video model with its image model on a random clip, in float32.

    A fresh temporal half does not change every N-th frame: `video(clip)[:, ::N]` is
    `image(clip[:, ::N])`, N the temporal factor (Lumiere, appendix B).

    Args:
      video: freshly inflated model.
      seed: seed of the clip.

    Returns:
      largest difference between the outputs, relative to the largest output.

    Raises:
      ValueError: the difference is larger than rounding errors.
    """
    config = video.config
    factor = config.temporal_factor
    inputs, keywords = _random_inputs(config, np.random.default_rng(seed))
    with jax.default_matmul_precision("highest"):
        film = jax.jit(network(config, dtype=jnp.float32).apply)
        found = np.asarray(film(video.params, *inputs, **keywords))[:, ::factor]
        still = jax.jit(image_network(config, dtype=jnp.float32).apply)
        inputs = (inputs[0][:, ::factor], *inputs[1:])
        if "low_resolution" in keywords:
            keywords["low_resolution"] = keywords["low_resolution"][:, ::factor]
        image = spatial_params(video.params)
        expected = np.asarray(still(image, *inputs, **keywords))
    scale = np.abs(expected).max()
    error = float(np.abs(found - expected).max() / scale) if scale else float("nan")
    if not error <= TOLERANCE:
        raise ValueError(
            f"the inflated model's frames differ from the image model's by {error:.1e} of the "
            f"largest output, more than {TOLERANCE:.0e}: its parameters are not a fresh inflation"
        )
    return error


def _random_inputs(
    config: UNetConfig, rng: np.random.Generator
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    size = 2 * config.spatial_factor
    shape = (1, 2 * config.temporal_factor, size, size, config.in_channels)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    text = None if config.text_dim is None else Text(normal(1, 8, config.text_dim))
    keywords: dict[str, Any] = {}
    if config.low_resolution:
        keywords["low_resolution"] = normal(*shape)
    if config.augmentation:
        keywords["augmentation"] = np.full((1,), 0.25, np.float32)
    return (normal(*shape), np.full((1,), 0.5, np.float32), text), keywords


def parameter_table(params: Params) -> str:
    """Return the numbers of spatial and temporal parameters of each level as lines of text."""
    rows: dict[str, list[int]] = {}
    for path, leaf in flatten(params).items():
        row = rows.setdefault(_level(path.split("/")[0]), [0, 0])
        row[not is_spatial(path)] += int(np.prod(leaf.shape))
    rows = dict(sorted(rows.items(), key=lambda row: _ORDER.index(row[0].split()[0])))
    rows["total"] = [sum(row[kind] for row in rows.values()) for kind in (0, 1)]
    lines = [f"{'part':<12}{'spatial':>16}{'temporal':>16}"]
    return "\n".join(lines + [f"{name:<12}{s:>16,}{t:>16,}" for name, (s, t) in rows.items()])


_ORDER = ("ends", "time", "text", "down", "middle", "up", "total")


def _level(module: str) -> str:
    """Return the name of a module's row in the table: `down_0_block_1` → `down 0`."""
    first, *rest = module.split("_")
    if first in ("down", "up"):
        return f"{first} {rest[0]}"
    if first in ("time", "augmentation"):
        return "time"
    return first if first in _ORDER else "ends"
