"""Colour, shape, background and straight motions, measured from a single frame."""

import numpy as np
import pytest

from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.moving_shapes.motions import STRAIGHT
from lumiere_jax.moving_shapes.shapes import measure_frame


def frames(count, size, seed):
    """Render frames of held-out scenes with straight motions; return (frame, attributes) pairs."""
    shapes = MovingShapes(frames=16, size=size, split="heldout", seed=seed, examples=10**6)
    rng = np.random.default_rng(seed)
    scenes = ((i, shapes.scene(i).attributes) for i in range(20 * count))
    straight = [(i, told) for i, told in scenes if told.motion in STRAIGHT][:count]
    return [(shapes.frame(i, int(rng.integers(16))), told) for i, told in straight]


@pytest.mark.parametrize(("size", "count"), [(32, 100), (128, 20)])
def test_every_word_is_measured_from_true_frames(size, count):
    rows = [measure_frame(frame).agrees(told) for frame, told in frames(count, size, seed=3)]
    assert min(np.mean([row[word] for row in rows]) for word in rows[0]) >= 0.99


@pytest.mark.parametrize(
    ("turn", "turned"),
    [
        (lambda frame: frame[:, ::-1], {"left": "right", "right": "left"}),
        (lambda frame: frame[::-1], {"up": "down", "down": "up"}),
    ],
)
def test_a_mirrored_frame_moves_the_other_way(turn, turned):
    for frame, told in frames(20, 32, seed=4):
        expected = turned.get(told.motion, told.motion)
        assert measure_frame(np.ascontiguousarray(turn(frame))).motion == expected


def test_an_object_without_a_trail_moves_nowhere():
    frame = np.full((32, 32, 3), 20, np.uint8)
    frame[10:20, 12:22] = (225, 40, 40)
    found = measure_frame(frame)
    assert (found.colour, found.shape, found.motion) == ("red", "square", None)


def test_an_empty_frame_shows_nothing():
    found = measure_frame(np.full((32, 32, 3), 230, np.uint8))
    assert (found.colour, found.motion, found.objects, found.background) == (
        None,
        None,
        (0,),
        "light",
    )


@pytest.mark.usefixtures("unchecked")
def test_a_clip_instead_of_a_frame_is_refused():
    with pytest.raises(ValueError, match=r"frame: uint8 \(4, 32, 32, 3\); expected uint8 \[h, w"):
        measure_frame(np.zeros((4, 32, 32, 3), np.uint8))
