import numpy as np
import pytest

from lumiere_jax.metrics import (
    first_frame_psnr,
    motion_magnitude,
    psnr,
    temporal_flicker,
    window_seam_energy,
)


def flat(*levels):
    """Return a clip of 4×4 pixels whose frames have these grey levels."""
    levels = np.array(levels, np.uint8)[:, None, None, None]
    return np.broadcast_to(levels, (len(levels), 4, 4, 3)).copy()


def test_psnr_of_a_constant_error():
    assert psnr(flat(10, 10), flat(20, 20)) == pytest.approx(20 * np.log10(255 / 10))
    assert psnr(flat(7), flat(7)) == np.inf


def test_masked_psnr_sees_only_the_mask():
    video, truth = flat(10, 10), flat(10, 20)
    mask = np.zeros((2, 4, 4), bool)
    mask[0] = True
    assert psnr(video, truth, mask) == np.inf
    assert psnr(video, truth, ~mask) == pytest.approx(20 * np.log10(255 / 10))


def test_first_frame_psnr_ignores_the_rest():
    assert first_frame_psnr(flat(5, 200), flat(5)[0]) == np.inf


def test_flicker_is_the_mean_absolute_frame_difference():
    assert temporal_flicker(flat(0, 10, 0, 255)) == pytest.approx((10 + 10 + 255) / 3)


def test_motion_magnitude_does_not_count_faint_noise():
    video = flat(0, 5, 0)
    assert motion_magnitude(video) == 0
    video[1, 0] = 100
    assert motion_magnitude(video) == 0.25


def test_seam_energy_is_one_without_seams_and_grows_with_them():
    assert window_seam_energy(flat(0, 2, 4, 6, 8), borders=[2]) == 1
    assert window_seam_energy(flat(0, 2, 12, 14, 16), borders=[2]) == 5
    assert window_seam_energy(flat(3, 3, 3), borders=[1]) == 1
    assert window_seam_energy(flat(3, 4, 4), borders=[1]) == np.inf


@pytest.mark.usefixtures("unchecked")
def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        psnr(flat(1), flat(1, 2))
    with pytest.raises(ValueError, match="mask"):
        psnr(flat(1), flat(1), np.zeros((1, 4, 4), bool))
    with pytest.raises(ValueError, match="borders: 9"):
        window_seam_energy(flat(1, 2, 3), [9])
    with pytest.raises(ValueError, match="two or more"):
        temporal_flicker(flat(1))
