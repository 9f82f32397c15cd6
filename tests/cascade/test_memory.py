"""Refining a long clip takes the memory of a group of windows, and of the clip itself."""

import pytest

from benchmarks.memory import clip_bytes, line, stage, temporary_bytes

SIZE = 64


@pytest.fixture(scope="module")
def memory():
    """Temporary bytes by length of clip, in windows of 8 frames one at a time."""
    refiner = stage(SIZE, "ddim", window=8, group=1, threshold="static")
    return {frames: temporary_bytes(refiner, frames) for frames in (16, 44, 80)}


def test_memory_grows_by_the_clips_own_buffers(memory):
    assert memory[80] - memory[16] <= 3.1 * (clip_bytes(SIZE, 80) - clip_bytes(SIZE, 16))


def test_beside_these_every_length_needs_the_same(memory):
    kept, rest = line(SIZE, {frames: memory[frames] for frames in (16, 44)})
    assert rest > clip_bytes(SIZE, 8)
    assert memory[80] - kept * clip_bytes(SIZE, 80) == pytest.approx(rest, rel=0.05)


def test_two_windows_at_a_time_need_more(memory):
    two = temporary_bytes(stage(SIZE, "ddim", window=8, group=2, threshold="static"), 44)
    assert two - memory[44] > clip_bytes(SIZE, 8)


def test_dynamic_thresholding_keeps_a_fourth_clip_and_sorts_nothing():
    refiner = stage(SIZE, "ddim", window=8, group=1, threshold="dynamic")
    short, long = (temporary_bytes(refiner, frames) for frames in (16, 80))
    assert long - short <= 4 * (clip_bytes(SIZE, 80) - clip_bytes(SIZE, 16))
