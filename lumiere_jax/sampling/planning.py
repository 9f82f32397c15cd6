"""Plans of a stage's windows and tiles; errors name the flag to change."""

from __future__ import annotations

from typing import Any

from lumiere_jax.diffusion.multidiffusion import (
    Tiles,
    Windows,
    plan_tiles,
    plan_windows,
    window_weights,
)
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.sampling.stage_config import StageConfig


def windows_over(frames: int, settings: StageConfig, network: UNetConfig, name: str) -> Windows:
    """Plan the windows over a clip; a single one if the clip is no longer than a window.

    Args:
      frames: frames of the clip.
      settings: configuration of the stage.
      network: configuration of its U-Net.
      name: name of the stage, for the messages.

    Raises:
      ValueError: the network's temporal factor does not divide the frames of a window, a window is
        longer than the clip, or the overlap is as long as a window.
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
    """Plan the tiles over a frame; return None if the frame is denoised whole.

    Args:
      height: rows of the frame.
      width: columns of the frame.
      settings: configuration of the stage.
      network: configuration of its U-Net.
      name: name of the stage, for the messages.

    Raises:
      ValueError: the network's spatial factor does not divide the tiles, or the whole frame.
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
    windows: Windows,
    tiles: Tiles | None,
    settings: StageConfig,
    *,
    fade: bool,
    mesh_axis: str | None = None,
) -> dict[str, Any]:
    """Return plans and window weights, as keywords of `diffusion.compose`.

    Args:
      windows: positions of the windows.
      tiles: positions of the tiles; None for whole frames.
      settings: configuration of the stage.
      fade: True to use the weights "ramp" over the frames, so that windows of different texts fade
        into one another.
      mesh_axis: mesh axis that groups of windows are divided over; none when None.
    """
    plans = {
        "window_plan": windows,
        "window_weights": window_weights(windows, "ramp" if fade else settings.weights),
        "mesh_axis": mesh_axis,
        "group": settings.group,
    }
    if tiles is None:
        return plans
    weights = tuple(window_weights(each, settings.weights) for each in (tiles.rows, tiles.columns))
    return plans | {"tile_plan": tiles, "tile_weights": weights}
