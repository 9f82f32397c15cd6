"""Synthetic scenes: one coloured shape, one motion, one background, from a seed and an index.

A scene is geometry in the unit square (x to the right, y down) as a function of clip time: 0 is
the first frame and 1 is one frame past the last. Nothing here knows about pixels or frame rates,
so that one scene is the same scene at every resolution and number of frames.

Which combinations of colour, shape, motion and background a model may train on is decided here
too: about a fifth is held out, spread so that every pair of attributes is still seen.
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
"""The words that each field of `Attributes` may have, in its order."""
SPLITS = ("train", "heldout")

TRAVEL = 0.5  # of the frame's width, by a shape that moves in a straight line
GROWTH = (0.1, 0.28)  # radius of a growing shape, first and last
ORBIT_RADIUS = 0.22
BOUNCES = 2
BOUNCE_HEIGHT = 0.45
TURN = {"square": 0.5, "triangle": 0.5, "star": 0.4}  # turns a clip of a spinning shape


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class Attributes:
    """The four words that a caption tells and a measurement recovers."""

    colour: str
    shape: str
    motion: str
    background: str

    @property
    def visible(self) -> bool:
        """False where the motion could not be seen: a round shape that spins."""
        return not (self.motion == "spin" and self.shape in ("circle", "ring"))

    @property
    def split(self) -> str:
        """ "train" or "heldout"; a fixed fifth of all combinations is held out."""
        numbers = (
            list(COLOURS).index(self.colour),
            SHAPES.index(self.shape),
            MOTIONS.index(self.motion),
            BACKGROUNDS.index(self.background),
        )
        return "heldout" if sum(numbers) % 5 == 0 else "train"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pose:
    """Where the shape is at some times; arrays of one shape, in units of the frame's side."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """The ground truth of one clip.

    Attributes:
      attributes: colour, shape, motion and background.
      x: centre of the motion (its middle, for straight lines and orbits), in [0, 1].
      y: the same, downwards; for a bounce, the floor that the centre reaches.
      radius: of the shape, in units of the frame's side; ignored where it grows or shrinks.
      phase: start of a periodic motion, in periods.
      direction: +1 or -1, the sense of spins and orbits.
    """

    attributes: Attributes
    x: float
    y: float
    radius: float
    phase: float
    direction: int

    def pose(self, time: np.ndarray) -> Pose:
        """Pose at clip times; defined before 0 as well, where the trail comes from."""
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
    """All combinations of a split ("train" or "heldout") that can be seen.

    Raises:
      ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: the synthetic set has {' and '.join(SPLITS)}")
    product = itertools.product(*WORDS.values())
    every = (Attributes(colour=c, shape=s, motion=m, background=b) for c, s, m, b in product)
    return tuple(a for a in every if a.visible and a.split == split)


def sample_scene(seed: int, index: int, split: str = "train") -> Scene:
    """The scene number `index` of the endless set that `seed` names."""
    rng = np.random.default_rng((seed, index))
    choices = combinations(split)
    return place(choices[rng.integers(len(choices))], rng)


def place(attributes: Attributes, rng: np.random.Generator) -> Scene:
    """A scene of these attributes, with a random place, size, phase and direction.

    The shape stays inside the frame for the whole clip.
    """
    radius = GROWTH[1] if attributes.motion in ("grow", "shrink") else rng.uniform(0.14, 0.17)
    if attributes.motion == "spin":
        radius = rng.uniform(0.19, 0.24)  # larger: the corners tell the motion
    reach = 1.25 * radius + 0.01  # the tip of a star, and a margin
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
