"""Synthetic scenes as pixels: antialiased shapes, the fading trail of their motion, uint8 frames.

Coverage of a pixel comes from the signed distance of its centre to the shape's outline. The trail
is the largest coverage of the recent past, fading linearly with age. It is painted in the shape's
colour behind the shape, and as a lighter glow on it, so that it is visible also for motions that
cover their own past (growing, spinning): a single frame shows the motion, as motion blur does.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float, UInt8

from lumiere_jax.moving_shapes.scenes import COLOURS, Scene

TRAIL_STEPS_A_CLIP = 80  # least number of moments in a clip at which the trail is drawn
TRAIL_LENGTH = 0.4  # age at which the trail has faded, as a fraction of the clip
TRAIL_OPACITY = 0.34
GLOW = 0.3  # share of white at pixels that the shape covered during the whole trail
STAR_WAIST = 0.5  # distance of a star's inner corners from its centre, over that of its tips
OUTER = {"circle": 1.0, "square": 0.85 * math.sqrt(2), "triangle": 1.25, "star": 1.25, "ring": 1.06}
"""Distance from the centre to the farthest point of each shape of radius 1."""


def render(scene: Scene, frames: int, size: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Render the whole clip; frame k is at clip time k / frames."""
    return render_segment(scene, frames, size, 0, frames)


def render_frame(scene: Scene, frame: int, frames: int, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """Render one frame, equal to `render(scene, frames, size)[frame]`, without the others."""
    return render_segment(scene, frames, size, frame, frame + 1)[0]


def render_segment(
    scene: Scene, frames: int, size: int, start: int, stop: int
) -> UInt8[np.ndarray, "t h w 3"]:
    """Render `render(scene, frames, size)[start:stop]`, without the other frames."""
    steps = math.ceil(TRAIL_STEPS_A_CLIP / frames)  # in time, from one frame to the next
    history = math.ceil(TRAIL_LENGTH * frames * steps)
    time = np.arange(start * steps - history, (stop - 1) * steps + 1) / (frames * steps)
    covered = coverage(scene, time, size)
    trail, exposure = _trail(covered, history)
    shown = slice(history, None, steps)
    return _paint(scene, covered[shown], trail[shown], exposure[shown])


def coverage(scene: Scene, time: np.ndarray, size: int) -> Float[np.ndarray, "n h w"]:
    """Return the fraction of each pixel that the shape covers at each clip time, in [0, 1]."""
    pose = scene.pose(time)
    extent = OUTER[scene.attributes.shape] * float(pose.radius.max())
    patch = 2 * math.ceil(
        extent * size + 1
    )  # side of the square of pixels that the shape can cover
    columns, x = _patch(pose.x, patch, size)
    rows, y = _patch(pose.y, patch, size)
    radius, angle = (
        values.astype(np.float32)[:, None, None] for values in (pose.radius, pose.angle)
    )
    distance = signed_distance(
        scene.attributes.shape,
        x[:, None, :],
        y[:, :, None],
        radius,
        angle if pose.angle.any() else None,
    )
    canvas = np.zeros((len(time), size + 1, size + 1), np.float32)
    every = np.arange(len(time))[:, None, None]
    inside = np.round(256 * np.clip(0.5 - distance * size, 0, 1)) / 256  # see `_trail`
    canvas[every, rows[:, :, None], columns[:, None, :]] = inside
    return canvas[:, :size, :size]


def _patch(centre: np.ndarray, patch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel numbers around each centre and their distance to it, both [n, patch].

    All pixels outside of the frame have the number `size`, a row of the canvas that is discarded.
    """
    first = np.round(centre * size).astype(int) - patch // 2
    pixels = first[:, None] + np.arange(patch)
    offset = ((pixels + 0.5) / size - centre[:, None]).astype(np.float32)
    return np.where((pixels >= 0) & (pixels < size), pixels, size), offset


def signed_distance(
    shape: str,
    x: Float[np.ndarray, "#n #h w"],
    y: Float[np.ndarray, "#n h #w"],
    radius: Float[np.ndarray, "#n 1 1"] | float | np.floating,
    angle: Float[np.ndarray, "#n 1 1"] | None = None,
) -> Float[np.ndarray, "#n h w"]:
    """Return the distance to the outline of a centred shape, negative inside.

    Exact along the edges; near corners it is the distance to the line through the nearest edge.

    Args:
      shape: one of `SHAPES`.
      x: position to the right of the centre.
      y: position below the centre.
      radius: size of the shape; all shapes of one radius look about equally large.
      angle: clockwise rotation in radians; None for 0.
    """
    if angle is not None:
        cosine, sine = np.cos(angle), np.sin(angle)
        x, y = cosine * x + sine * y, cosine * y - sine * x
    return _DISTANCES[shape](x, y, radius)


def _circle(x, y, radius):
    return np.sqrt(x * x + y * y) - radius


def _ring(x, y, radius):
    return np.abs(np.sqrt(x * x + y * y) - 0.82 * radius) - 0.24 * radius


def _square(x, y, radius):
    return np.maximum(np.abs(x), np.abs(y)) - 0.85 * radius


def _triangle(x, y, radius):
    slanted = np.float32(math.sqrt(0.75)) * np.abs(x) - 0.5 * y
    return np.maximum(slanted, y) - 0.5 * OUTER["triangle"] * radius


def _star(x, y, radius):
    # Rotated into the upright arm and mirrored, all pixels have the same nearest edge.
    arm = np.float32(2 * math.pi / 5)
    angle = np.arctan2(x, -y)
    angle = np.abs(angle - arm * np.round(angle / arm))
    from_centre = np.sqrt(x * x + y * y)
    tip = OUTER["star"]
    side, rise = STAR_WAIST * math.sin(math.pi / 5), 1 - STAR_WAIST * math.cos(math.pi / 5)
    across, along = rise / math.hypot(side, rise), side / math.hypot(side, rise)
    distance = np.float32(across) * np.sin(angle) + np.float32(along) * np.cos(angle)
    return from_centre * distance - np.float32(along * tip) * radius


_DISTANCES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
}


def _trail(covered: np.ndarray, history: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest coverage of the past, fading with age, and its mean; both [n, h, w].

    Valid from moment number `history` on; the moments before it have too short a past.
    """
    trail, exposure = np.zeros_like(covered), np.zeros_like(covered)
    for now in range(1, len(covered)):
        np.maximum(trail[now - 1], covered[now - 1], out=trail[now])
        trail[now] -= np.float32(1 / history)
        # A running sum; exact, because coverage is a multiple of 1/256.
        np.add(exposure[now - 1], covered[now - 1], out=exposure[now])
        if now > history:
            exposure[now] -= covered[now - 1 - history]
    exposure /= np.float32(history)
    return np.maximum(trail, 0, out=trail), exposure


def _paint(
    scene: Scene, covered: np.ndarray, trail: np.ndarray, exposure: np.ndarray
) -> UInt8[np.ndarray, "t h w 3"]:
    backdrop = background(scene.attributes.background, covered.shape[-1])
    trail *= np.float32(TRAIL_OPACITY)
    exposure *= np.float32(GLOW)
    frames = np.empty((*covered.shape, 3), np.uint8)
    for channel, value in enumerate(COLOURS[scene.attributes.colour]):
        empty = backdrop[:, :, channel]
        behind = empty + trail * (value - empty)
        front = value + exposure * np.float32(255 - value)
        frames[..., channel] = behind + covered * (front - behind) + np.float32(0.5)
    return frames


@functools.lru_cache(maxsize=32)
def background(name: str, size: int) -> Float[np.ndarray, "h w 3"]:
    """Return a background's pixels in [0, 255]: nearly grey, so that only the shape is coloured."""
    down = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None, None]
    top, bottom = _BACKDROPS[name]
    picture = np.array(top, np.float32) * (1 - down) + np.array(bottom, np.float32) * down
    picture = np.broadcast_to(picture, (size, size, 3)).copy()
    if name == "checkered":
        picture += (CHECKER_CONTRAST / 2) * checker(size)[:, :, None]
    picture.flags.writeable = False  # cached: shared by every clip
    return picture


def checker(size: int) -> Float[np.ndarray, "h w"]:
    """Return +1 and -1 on a board of 8×8 fields; fields of 4 pixels in a frame of 32."""
    place = (np.arange(size) + 0.5) / size
    # Fields that end inside a pixel (sizes that 8 does not divide) are rare and not antialiased.
    odd = np.floor(8 * place).astype(int) % 2
    return np.where(odd[:, None] == odd[None, :], 1.0, -1.0).astype(np.float32)


CHECKER_CONTRAST = 56
_BACKDROPS = {
    "dark": ((14, 16, 26), (34, 36, 48)),
    "light": ((238, 238, 242), (214, 214, 220)),
    "grey": ((132, 132, 138), (112, 112, 118)),
    "checkered": ((112, 112, 118), (92, 92, 98)),
}
