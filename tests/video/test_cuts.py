"""Scene cuts found where they are, and not where things merely move."""

import numpy as np

from lumiere_jax.video import find_cuts

RNG = np.random.default_rng(0)


def scene(seed, frames=12, speed=2):
    """Coloured blocks that drift over a coloured ground."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(0, 256, (8, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return np.stack([np.roll(ground, speed * index, 1)[:, :64] for index in range(frames)])


def test_every_cut_of_a_montage_is_found():
    shots = [scene(seed, frames=5 + seed) for seed in range(8)]
    starts = np.cumsum([len(shot) for shot in shots])[:-1].tolist()
    assert find_cuts(np.concatenate(shots)) == starts


def test_movement_is_no_cut():
    assert find_cuts(scene(1, frames=24, speed=3)) == []


def test_an_object_that_races_through_is_no_cut():
    frames = scene(2, frames=24, speed=0)
    for index in range(24):
        left = 4 * index - 24
        frames[index, 16:48, max(left, 0) : max(left + 24, 0)] = 255
    assert find_cuts(frames) == []


def test_a_change_of_brightness_is_no_cut():
    frames = scene(3, frames=24, speed=0) // 2
    brighter = np.clip(frames * np.linspace(1, 2, 24)[:, None, None, None], 0, 255)
    assert find_cuts(brighter.astype(np.uint8)) == []


def test_noise_and_short_inputs_are_no_cut():
    assert find_cuts(RNG.integers(0, 256, (8, 32, 32, 3), np.uint8)) == []
    assert find_cuts(scene(0)[:1]) == find_cuts([]) == []


def test_a_cut_at_the_second_and_at_the_last_frame_is_found():
    assert find_cuts(np.concatenate([scene(0, 1), scene(1, 6), scene(2, 1)])) == [1, 7]
