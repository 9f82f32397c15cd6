"""Refining a long clip needs the memory of a group of windows and of the clip itself."""

import functools

import pytest

from benchmarks.memory import clip_bytes, line, stage, temporary_bytes

SIZE = 64


@functools.cache
def memory(sampler: str, threshold: str, frames: int, group: int = 1) -> int:
    """Return the temporary bytes of refining in windows of 8 frames."""
    refiner = stage(SIZE, sampler, window=8, group=group, threshold=threshold, channels=(8, 8))
    return temporary_bytes(refiner, frames)


@pytest.mark.parametrize("threshold", ["static", "dynamic"])
@pytest.mark.parametrize(("sampler", "clips"), [("ddim", 3), ("ddpm", 2), ("dpm_solver", 3)])
def test_memory_grows_by_at_most_three_clips(sampler, clips, threshold):
    short, long = (memory(sampler, threshold, frames) for frames in (16, 80))
    # Up to a thousandth of a clip: a few integers per frame are stored as well.
    assert long - short <= (clips + 1e-3) * (clip_bytes(SIZE, 80) - clip_bytes(SIZE, 16))


def test_beside_these_every_length_needs_the_same():
    kept, rest = line(SIZE, {frames: memory("ddim", "static", frames) for frames in (16, 44)})
    assert rest > clip_bytes(SIZE, 8)
    assert memory("ddim", "static", 80) - kept * clip_bytes(SIZE, 80) == pytest.approx(
        rest, rel=0.05
    )


def test_two_windows_at_a_time_need_more():
    one, two = (memory("ddim", "static", 44, group) for group in (1, 2))
    assert two - one > clip_bytes(SIZE, 8)
