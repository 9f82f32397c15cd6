"""Resizing is antialiased, centred and proportional."""

import numpy as np

from lumiere_jax.video import resize_and_crop


def test_detail_finer_than_a_pixel_becomes_its_mean():
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = resize_and_crop(np.repeat(checks[..., None], 3, -1), 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_the_centre_is_kept():
    frame = np.zeros((16, 48, 3), np.uint8)
    frame[:, 16:32] = 200
    assert resize_and_crop(frame, 16).min() == 200
    upright = resize_and_crop(frame.swapaxes(0, 1), 8)
    assert upright[2:6].min() >= 200  # the outer rows include a little of the cropped pixels
    assert upright.min() > 180


def test_a_frame_of_the_right_size_is_untouched():
    frame = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(resize_and_crop(frame, 16), frame)


def test_pixels_twice_as_wide_fill_a_square():
    frame = np.arange(8 * 4 * 3, dtype=np.uint8).reshape(8, 4, 3)
    whole = resize_and_crop(frame, 8, pixel_aspect=2.0)
    assert whole.shape == (8, 8, 3)
    assert np.abs(whole.astype(int).mean((0, 1)) - frame.mean((0, 1))).max() < 1
