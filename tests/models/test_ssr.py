"""Modules that only SSR has: the resizing of clips, and the bypass."""

import jax
import numpy as np
import pytest

from lumiere_jax.models import TemporalConfig, network
from lumiere_jax.models.ssr import downsample, interpolation, upsample
from tests.tiny import refiner_options, unet

CONFIG = refiner_options(patch=4)


def test_interpolation_keeps_the_areas_or_the_corners():
    np.testing.assert_allclose(
        interpolation(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]], atol=1e-12
    )
    np.testing.assert_allclose(
        interpolation(2, 4, "align_corners"), [[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 1]]
    )
    with pytest.raises(ValueError, match="neither 'half_pixel' nor 'align_corners'"):
        interpolation(2, 4, "nearest")


def test_a_downsampled_pixel_is_the_mean_of_its_area():
    video = np.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6, 1)
    small = downsample(video, 2)
    assert small.shape == (1, 2, 2, 3, 1)
    np.testing.assert_array_equal(small[0, 0, ..., 0], [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]])
    with pytest.raises(ValueError, match="4×6 pixels do not shrink by a factor of 4"):
        downsample(video, 4)


def test_a_ramp_is_the_same_after_downsampling_and_interpolation_but_for_its_border():
    ramp = np.tile(np.arange(16, dtype=np.float32), (1, 1, 16, 1))[..., None]
    back = upsample(downsample(ramp, 4), 16, 16)
    np.testing.assert_allclose(back[..., 2:-2, :], ramp[..., 2:-2, :], atol=1e-5)


@pytest.mark.parametrize("temporal", [None, TemporalConfig(head_dim=8, resize=(False,))])
def test_with_a_bypass_a_fresh_network_interpolates(temporal):
    """Check that the output interpolates the means of the patches."""
    net = network(unet(**CONFIG | {"bypass": True, "temporal": temporal, "out_channels": 6}))
    noisy, low = (jax.random.normal(jax.random.key(i), (2, 3, 8, 16, 3)) for i in range(2))
    time = np.array([0.2, 0.7], np.float32)
    params = net.init(jax.random.key(0))
    given = net.apply(params, noisy, time, low_resolution=low, augmentation=time)
    np.testing.assert_allclose(given[..., :3], upsample(downsample(low, 4), 8, 16), atol=1e-5)
    np.testing.assert_array_equal(given[..., 3:], 0)


def test_a_bypass_needs_a_low_resolution_clip():
    with pytest.raises(ValueError, match=r"model\.bypass=True needs model\.low_resolution=True"):
        unet(**{**CONFIG, "low_resolution": False}, bypass=True)


def test_without_text_a_network_that_attends_to_text_alone_has_no_attention():
    shapes = network(unet(**CONFIG)).shapes()
    assert not [name for name, block in shapes.items() if "attention" in block]
    with_text = dict(text_dim=32, pool_heads=2)
    shapes = network(unet(**{**CONFIG, **with_text})).shapes()
    attending = {name for name, block in shapes.items() if "attention" in block}
    assert attending == {"down_1_block_0", "middle_block_0", "up_1_block_0", "up_1_block_1"}
