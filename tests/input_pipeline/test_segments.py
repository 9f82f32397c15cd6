"""Super-resolution trains on short segments and small squares of large clips."""

import dataclasses

import numpy as np
import pytest

from lumiere_jax.input_pipeline import DataConfig, Example, make_pipeline
from lumiere_jax.input_pipeline.source import first_frame
from lumiere_jax.moving_shapes.dataset import MovingShapes

CONFIG = DataConfig(frames=20, size=16, batch_size=4, text_length=8, examples=10)


class Coordinates:
    """Clips whose pixels are their own frame, row and column."""

    identity = "coordinates"

    def __len__(self):
        return 10

    def read(self, record, moment=None, frames=1):
        clip = np.stack(np.meshgrid(*map(np.arange, (20, 16, 16)), indexing="ij"), -1)
        if moment is not None:
            start = first_frame(moment, frames, 20)
            clip = clip[start : start + frames]
        return Example(clip.astype(np.uint8), "c")


def videos(steps, source=None, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    with make_pipeline(config, source=source or Coordinates()) as batches:
        return np.concatenate([next(batches)["video"] for _ in range(steps)])


def test_a_segment_is_consecutive_frames_from_every_place_of_the_clip():
    clips = videos(40, segment=5)
    assert clips.shape == (160, 5, 16, 16, 3)
    starts = clips[:, 0, 0, 0, 0]
    np.testing.assert_array_equal(clips[:, :, 0, 0, 0], starts[:, None] + np.arange(5))
    assert set(starts) == set(range(16))  # 20 frames hold a segment of 5 at 16 places


def test_a_crop_is_the_same_square_of_every_frame_from_every_place():
    clips = videos(60, segment=3, crop=12)
    assert clips.shape == (240, 3, 12, 12, 3)
    corners = clips[:, :, 0, 0, 1:]
    np.testing.assert_array_equal(corners, np.repeat(corners[:, :1], 3, 1))
    assert {tuple(corner) for corner in corners[:, 0]} == {
        (i, j) for i in range(5) for j in range(5)
    }
    np.testing.assert_array_equal(clips[:, 0, -1, -1, 1:], corners[:, 0] + 11)


def test_single_frames_are_cropped_too():
    assert videos(1, image_frames=True, crop=8).shape == (4, 1, 8, 8, 3)


def test_segments_and_crops_are_a_function_of_seed_and_position():
    once = videos(3, segment=5, crop=8)
    np.testing.assert_array_equal(once, videos(3, segment=5, crop=8))
    assert (once != videos(3, segment=5, crop=8, seed=1)).any()


def test_a_rendered_segment_is_that_part_of_the_whole_scene():
    shapes = MovingShapes(frames=20, size=16)
    np.testing.assert_array_equal(shapes.segment(3, 7, 12), shapes.clip(3)[7:12])


def test_the_clips_of_a_batch_have_the_stated_frames_and_size():
    sizes = {
        (): (20, 16),
        (("segment", 5),): (5, 16),
        (("image_frames", True), ("crop", 8)): (1, 8),
    }
    for changes, expected in sizes.items():
        config = dataclasses.replace(CONFIG, **dict(changes))
        assert (config.clip_frames, config.clip_size) == expected


def test_parts_larger_than_the_clip_are_refused_with_the_largest_that_fits():
    with pytest.raises(ValueError, match=r"data\.segment=21: must be from 1 to data\.frames=20"):
        dataclasses.replace(CONFIG, segment=21)
    with pytest.raises(ValueError, match=r"data\.crop=32: must be from 1 to data\.size=16"):
        dataclasses.replace(CONFIG, crop=32)
    with pytest.raises(ValueError, match=r"exclude each other; set data\.segment=None"):
        dataclasses.replace(CONFIG, segment=5, image_frames=True)
