"""Clips of exact length that no cut runs through."""

import numpy as np
import pytest

from lumiere_jax.video import ClipConfig, VideoError, cut_clips, write_mp4


def scenes(*lengths):
    """Make shots of these lengths, each of a drifting pattern of colour blocks."""
    shots = []
    for seed, length in enumerate(lengths):
        rng = np.random.default_rng(seed)
        ground = np.kron(rng.integers(0, 256, (4, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        shots.append(np.stack([np.roll(ground, index, 1) for index in range(length)]))
    return np.concatenate(shots)


def test_clips_follow_one_another_and_restart_at_a_cut(tmp_path):
    write_mp4(tmp_path / "a.mp4", scenes(11, 3, 8), 16)
    settings = ClipConfig(size=32, frames=4, fps=16)
    clips = list(cut_clips(tmp_path / "a.mp4", settings))
    assert [start * 16 for start, _ in clips] == [0, 4, 14, 18]
    assert {frames.shape for _, frames in clips} == {(4, 32, 32, 3)}


def test_a_video_without_a_long_enough_scene_is_too_short(tmp_path):
    write_mp4(tmp_path / "a.mp4", scenes(5, 6), 16)
    with pytest.raises(VideoError, match="longest scene has 6 frames") as error:
        list(cut_clips(tmp_path / "a.mp4", ClipConfig(size=32, frames=8, fps=16)))
    assert error.value.reason == "too short"


@pytest.mark.parametrize("name", ["size", "frames", "fps"])
def test_invalid_settings_are_named(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        ClipConfig(**{name: 0})
