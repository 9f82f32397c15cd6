"""HDR and wide-gamut pictures agree with the formulas of the standards in float64."""

import av
import numpy as np
import pytest

from lumiere_jax.video import hdr
from lumiere_jax.video.colour import ColourConverter

RNG = np.random.default_rng(0)
LUMINANCE = np.array([0.2627, 0.6780, 0.0593])  # of BT.2020
TO_BT709 = np.array(  # ITU-R BT.2087, to six digits
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ]
)


def pq_light(code):
    root = code ** (1 / 78.84375)
    ratio = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return 10000 * ratio ** (1 / 0.1593017578125)


def pq_code(light):
    root = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375


def hlg_light(code):
    low, high = code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    scene = np.where(code <= 0.5, low, high)
    return 1000 * scene * (scene @ LUMINANCE)[..., None] ** 0.2


def tone_mapped(light):
    """Apply BT.2390's curve from 1000 to 203 cd/m² to the greatest channel, then sRGB of BT.709."""
    greatest = light.max(-1, keepdims=True)
    most = pq_code(203) / pq_code(1000)
    knee = 1.5 * most - 0.5
    e = pq_code(np.minimum(greatest, 1000)) / pq_code(1000)
    t = (e - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    spline = spline + (-2 * t**3 + 3 * t**2) * most
    mapped = pq_light(np.where(e < knee, e, spline) * pq_code(1000)) / 203
    linear = np.clip(light * mapped / np.maximum(greatest, 1e-9) @ TO_BT709.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * srgb


@pytest.mark.parametrize(("transfer", "light"), [(hdr.PQ, pq_light), (hdr.HLG, hlg_light)])
def test_codes_become_the_reference_rounded(transfer, light):
    codes = RNG.integers(0, 65536, (300, 300, 3), dtype=np.uint16)
    found = hdr.to_sdr(codes, hdr.Conversion(transfer, hdr.BT2020))
    error = np.abs(found - tone_mapped(light(codes / 65535)))
    assert error.max() < 0.6
    assert error.mean() < 0.26


def test_dark_parts_keep_their_light_and_highlights_end_at_white():
    def grey(light):
        code = np.full((1, 1, 3), round(65535 * pq_code(light)), np.uint16)
        return int(hdr.to_sdr(code, hdr.Conversion(hdr.PQ, hdr.BT2020))[0, 0, 1])

    for light in (1, 10, 50, 85):
        assert grey(light) == pytest.approx(255 * hdr.light_to_srgb(light / 203), abs=0.6)
    levels = [grey(light) for light in (90, 150, 203, 400, 600)]
    assert sorted(set(levels)) == levels
    assert grey(203) == 229  # diffuse white leaves room for brighter light
    assert grey(1000) == grey(4000) == 255


def frame(code, pixels, transfer, primaries, matrix, full=False):
    """Make a picture of one colour, R'G'B' in [0, 1], as YUV of the given pixel format."""
    bits = 10 if "10" in pixels else 12 if "12" in pixels else 8
    weights = {9: (0.2627, 0.0593), 1: (0.2126, 0.0722)}[matrix]
    red, green, blue = code
    luma = weights[0] * red + (1 - sum(weights)) * green + weights[1] * blue
    chroma = ((blue - luma) / (2 - 2 * weights[1]), (red - luma) / (2 - 2 * weights[0]))
    unit = 2.0 ** (bits - 8)
    planes = [(255.996 if full else 219) * luma * unit + (0 if full else 16) * unit]
    planes += [(255 if full else 224) * value * unit + 128 * unit for value in chroma]
    picture = av.VideoFrame(32, 32, pixels)
    for plane, value in zip(picture.planes, planes, strict=True):
        kind = np.uint16 if bits > 8 else np.uint8
        count = plane.buffer_size // np.dtype(kind).itemsize
        plane.update(np.full(count, min(round(value), 2**bits - 1), kind).tobytes())
    picture.color_trc, picture.color_primaries = transfer, primaries
    picture.colorspace, picture.color_range = matrix, 2 if full else 1
    return picture


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv444p12le"])
@pytest.mark.parametrize(("transfer", "light"), [(hdr.PQ, pq_light), (hdr.HLG, hlg_light)])
@pytest.mark.parametrize("full", [False, True])
def test_decoded_hdr_pictures_are_tone_mapped(pixels, transfer, light, full):
    for code in ([0.5, 0.5, 0.5], [0.58, 0.4, 0.3], [0.2, 0.6, 0.35], [1.0, 1.0, 1.0]):
        picture = frame(code, pixels, transfer, hdr.BT2020, 9, full)
        found = ColourConverter().to_rgb(picture)[16, 16]
        expected = tone_mapped(light(np.array(code)))
        assert np.abs(found - expected).max() < (1.0 if "12" in pixels else 2.5)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le", "yuv444p12le"])
def test_ordinary_pictures_of_any_depth_keep_their_colours(pixels):
    for code in ([0.0, 0.0, 0.0], [0.2, 0.6, 0.4], [0.9, 0.5, 0.1], [1.0, 1.0, 1.0]):
        found = ColourConverter().to_rgb(frame(code, pixels, 1, 1, 1))[16, 16]
        assert np.abs(found - 255 * np.array(code)).max() < (1.6 if pixels == "yuv420p" else 1.0)


@pytest.mark.parametrize("primaries", [hdr.BT2020, hdr.DISPLAY_P3])
def test_wide_gamut_keeps_greys_and_saturates_colours(primaries):
    grey = ColourConverter().to_rgb(frame([0.4, 0.4, 0.4], "yuv420p10le", 1, primaries, 1))
    assert np.abs(grey[16, 16] - 102.0).max() <= 1
    red = ColourConverter().to_rgb(frame([0.6, 0.3, 0.3], "yuv420p10le", 1, primaries, 1))[16, 16]
    assert red[0] > 153
    assert max(red[1:]) < 77


@pytest.mark.parametrize("tags", [(1, 1), (2, 2), (13, 1), (6, 6), (14, 2)])
def test_ordinary_pictures_need_no_conversion(tags):
    assert hdr.find_conversion(*tags) is None
