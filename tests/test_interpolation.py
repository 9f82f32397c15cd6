"""Interpolation along an axis."""

import numpy as np

from lumiere_jax.interpolation import half_pixel_positions, interpolation_matrix


def test_samples_are_mixed_by_distance_and_repeated_at_the_ends():
    positions = np.array([-1, 0, 0.25, 2, 9])
    want = [[1, 0, 0], [1, 0, 0], [0.75, 0.25, 0], [0, 0, 1], [0, 0, 1]]
    np.testing.assert_array_equal(interpolation_matrix(positions, 3), want)


def test_half_pixels_keep_the_length_and_its_middle():
    np.testing.assert_array_equal(half_pixel_positions(2, 4), [-0.25, 0.25, 0.75, 1.25])
    np.testing.assert_array_equal(half_pixel_positions(4, 2), [0.5, 2.5])
