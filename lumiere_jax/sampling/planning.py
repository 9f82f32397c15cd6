"""Where a stage's windows and tiles lie; what does not fit is an error that names the flag."""

from __future__ import annotations

from typing import Any

import jax

from lumiere_jax.diffusion.multidiffusion import (
    Tiles,
    Windows,
    plan_tiles,
    plan_windows,
    window_weights,
)
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.sampling.stage_config import StageConfig

WINDOW_AXIS = "context"
"""Mesh axis that groups of windows are spread over."""


def windows_over(frames: int, settings: StageConfig, network: UNetConfig, name: str) -> Windows:
    """The windows over a clip of that many frames; one when it fits into a single one.

    Args:
      name: the stage's, for the messages.

    Raises:
      ValueError: frames or a window that the network's temporal factor does not divide, a window
        longer than the clip, or an overlap as long as the window.
    """
    factor = network.temporal_factor
    window = settings.window or min(settings.frames, frames)
    fitting = max(factor, min(window, frames) // factor * factor)
    if window % factor:
        flag = f"--frames={frames}" if settings.window is None else f"--window={window}"
        raise ValueError(
            f"{flag}: stage {name!r} works on windows of {window} frames, "
            f"which its temporal factor {factor} does not divide; {fitting} would do"
        )
    if window > frames:
        raise ValueError(
            f"--window={window}: stage {name!r} gets a clip of {frames} frames only; "
            f"use --window={fitting}"
        )
    return plan_windows(frames, window, settings.overlap if window < frames else 0)


def tiles_over(
    height: int, width: int, settings: StageConfig, network: UNetConfig, name: str
) -> Tiles | None:
    """The tiles over frames of that size; None where they are denoised whole.

    Raises:
      ValueError: tiles, or whole frames, that the network's spatial factor does not divide.
    """
    factor = network.spatial_factor
    tile = settings.tile or max(height, width)
    sides = (min(tile, height), min(tile, width))
    if any(side % factor for side in sides):
        flag = f"--tile={tile}" if settings.tile else f"frames of {width}×{height} pixels"
        fitting = max(factor, min(tile, height, width) // factor * factor)
        raise ValueError(
            f"{flag}: stage {name!r} works on multiples of {factor} pixels a side; "
            f"use --tile={fitting}"
        )
    if sides == (height, width):
        return None
    return plan_tiles(height, width, tile, settings.tile_overlap)


def composition(
    windows: Windows, tiles: Tiles | None, settings: StageConfig, *, fade: bool
) -> dict[str, Any]:
    """Plans, weights and the mesh axis they are spread over, as keywords of `diffusion.compose`.

    Args:
      fade: windows of different texts, which fade into one another instead of being cut.
    """
    spread = dict(jax.sharding.get_abstract_mesh().shape).get(WINDOW_AXIS, 1) > 1
    plans = {
        "window_plan": windows,
        "window_weights": window_weights(windows, "ramp" if fade else settings.weights),
        "mesh_axis": WINDOW_AXIS if spread else None,
        "group": settings.group,
    }
    if tiles is None:
        return plans
    weights = tuple(window_weights(each, settings.weights) for each in (tiles.rows, tiles.columns))
    return plans | {"tile_plan": tiles, "tile_weights": weights}
