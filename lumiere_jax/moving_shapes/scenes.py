"""Synthetic scenes: one coloured shape, one motion, one background, from a seed and an index.

A scene is geometry in the unit square (x to the right, y down) as a function of clip time: 0 is
the first frame and 1 is one frame past the last. It does not depend on the resolution or on the
number of frames.

This module also decides which combinations of colour, shape, motion and background are held out
from training: about a fifth, such that training contains every pair of attributes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np

COLOURS = {
    "red": (225, 40, 40),
    "yellow": (240, 195, 25),
    "green": (30, 180, 70),
    "cyan": (25, 195, 210),
    "blue": (45, 75, 235),
    "purple": (175, 50, 220),
}
SHAPES = ("circle", "square", "triangle", "star", "ring")
MOTIONS = ("left", "right", "up", "down", "grow", "shrink", "spin", "bounce", "orbit")
BACKGROUNDS = ("dark", "light", "grey", "checkered")
WORDS = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "motion": MOTIONS,
    "background": BACKGROUNDS,
}
"""The possible values of each field of `Attributes`, in the order of its fields."""
SPLITS = ("train", "heldout")

TRAVEL = 0.5  # path of a straight motion, in sides of the frame
GROWTH = (0.1, 0.28)  # first and last radius of a growing shape
ORBIT_RADIUS = 0.22
BOUNCES = 2
BOUNCE_HEIGHT = 0.45
TURN = {"square": 0.5, "triangle": 0.5, "star": 0.4}  # turns a clip of a spinning shape


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class Attributes:
    """The four words that a caption names and a measurement recovers."""

    colour: str
    shape: str
    motion: str
    background: str

    @property
    def visible(self) -> bool:
        """Return whether the motion is visible: a round shape that spins looks still."""
        return not (self.motion == "spin" and self.shape in ("circle", "ring"))

    @property
    def split(self) -> str:
        """Return "train" or "heldout"; a fixed fifth of all combinations is held out."""
        numbers = (
            list(COLOURS).index(self.colour),
            SHAPES.index(self.shape),
            MOTIONS.index(self.motion),
            BACKGROUNDS.index(self.background),
        )
        return "heldout" if sum(numbers) % 5 == 0 else "train"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pose:
    """Position, size and angle at several times, in sides of the frame and radians."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """The ground truth of one clip.

    Attributes:
      attributes: colour, shape, motion and background.
      x: horizontal centre of the motion, in [0, 1] from the left.
      y: vertical centre of the motion, in [0, 1] from the top; for a bounce, its lowest point.
      radius: radius of the shape, in sides of the frame; unused if it grows or shrinks.
      phase: start of a periodic motion, in periods.
      direction: +1 or -1, the sense of rotation of spins and orbits.
    """

    attributes: Attributes
    x: float
    y: float
    radius: float
    phase: float
    direction: int

    def pose(self, time: np.ndarray) -> Pose:
        """Return the pose at clip times; negative times are valid and used by the trail."""
        return _MOVES[self.attributes.motion](self, np.asarray(time, np.float64))


def _still(scene: Scene, time: np.ndarray, **changed: np.ndarray) -> Pose:
    fixed = {"x": scene.x, "y": scene.y, "radius": scene.radius, "angle": 0.0}
    return Pose(**{name: np.broadcast_to(v, time.shape) for name, v in (fixed | changed).items()})


def _straight(scene: Scene, time: np.ndarray, axis: str, sign: int) -> Pose:
    return _still(scene, time, **{axis: getattr(scene, axis) + sign * TRAVEL * (time - 0.5)})


def _scaled(scene: Scene, time: np.ndarray, first: float, last: float) -> Pose:
    return _still(scene, time, radius=np.maximum(first + (last - first) * time, 0.02))


def _spin(scene: Scene, time: np.ndarray) -> Pose:
    turns = scene.direction * TURN[scene.attributes.shape] * time + scene.phase
    return _still(scene, time, angle=2 * np.pi * turns)


def _bounce(scene: Scene, time: np.ndarray) -> Pose:
    arc = (BOUNCES * time + scene.phase) % 1
    return _still(scene, time, y=scene.y - BOUNCE_HEIGHT * 4 * arc * (1 - arc))


def _orbit(scene: Scene, time: np.ndarray) -> Pose:
    angle = 2 * np.pi * (scene.direction * time + scene.phase)
    x, y = scene.x + ORBIT_RADIUS * np.cos(angle), scene.y + ORBIT_RADIUS * np.sin(angle)
    return _still(scene, time, x=x, y=y)


_MOVES = {
    "left": functools.partial(_straight, axis="x", sign=-1),
    "right": functools.partial(_straight, axis="x", sign=1),
    "up": functools.partial(_straight, axis="y", sign=-1),
    "down": functools.partial(_straight, axis="y", sign=1),
    "grow": functools.partial(_scaled, first=GROWTH[0], last=GROWTH[1]),
    "shrink": functools.partial(_scaled, first=GROWTH[1], last=GROWTH[0]),
    "spin": _spin,
    "bounce": _bounce,
    "orbit": _orbit,
}


@functools.lru_cache
def combinations(split: str) -> tuple[Attributes, ...]:
    """Return all visible combinations of a split ("train" or "heldout").

    Raises:
      ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: the synthetic set has {' and '.join(SPLITS)}")
    product = itertools.product(*WORDS.values())
    every = (Attributes(colour=c, shape=s, motion=m, background=b) for c, s, m, b in product)
    return tuple(a for a in every if a.visible and a.split == split)


def sample_scene(seed: int, index: int, split: str = "train") -> Scene:
    """Sample scene number `index` of the set with this seed."""
    rng = np.random.default_rng((seed, index))
    choices = combinations(split)
    return place(choices[rng.integers(len(choices))], rng)


def place(attributes: Attributes, rng: np.random.Generator) -> Scene:
    """Sample a scene of these attributes: its position, size, phase and direction.

    The shape stays inside the frame for the whole clip.
    """
    radius = GROWTH[1] if attributes.motion in ("grow", "shrink") else rng.uniform(0.14, 0.17)
    if attributes.motion == "spin":
        radius = rng.uniform(0.19, 0.24)  # larger: only the corners show the motion
    reach = 1.25 * radius + 0.01  # radius of the tip of a star, and a margin
    x, y = _centre(attributes.motion, reach, rng)
    return Scene(
        attributes=attributes,
        x=x,
        y=y,
        radius=float(radius),
        phase=float(rng.uniform()),
        direction=int(rng.choice((-1, 1))),
    )


def _centre(motion: str, reach: float, rng: np.random.Generator) -> tuple[float, float]:
    low_x = low_y = reach
    high_x = high_y = 1 - reach
    if motion in ("left", "right"):
        low_x, high_x = low_x + TRAVEL / 2, high_x - TRAVEL / 2
    elif motion in ("up", "down"):
        low_y, high_y = low_y + TRAVEL / 2, high_y - TRAVEL / 2
    elif motion == "bounce":
        low_y = low_y + BOUNCE_HEIGHT
    elif motion == "orbit":
        low_x = low_y = reach + ORBIT_RADIUS
        high_x = high_y = 1 - low_x
    return float(rng.uniform(low_x, high_x)), float(rng.uniform(low_y, high_y))
