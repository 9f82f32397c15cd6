"""Pictures of every mode, depth and profile: a file and its PIL image give the same pixels."""

import io
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from lumiere_jax.video.images import image_pixels, read_image
from lumiere_jax.video.pixels import array_pixels

STEPS = np.repeat(np.linspace(0, 255, 8).round().astype(np.uint8)[None], 4, 0)
GREY = np.stack([STEPS] * 3, -1)
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def both(image, path, **options):
    """Read a picture from a file and as PIL opens it; they must be the same."""
    image.save(path, **options)
    read = read_image(path)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(image_pixels(opened, "--image").on_white(), read)
    return read


@pytest.mark.parametrize(
    ("pixels", "name"),
    [
        (STEPS, "l.png"),
        (STEPS.astype(np.uint16) * 257, "16.png"),
        (STEPS.astype(np.uint16) * 257, "16.tiff"),
        (STEPS.astype(np.int32) * 257, "32.tiff"),
        (STEPS.astype(np.int32), "8-in-32.tiff"),
        (STEPS.astype(np.float32) / 255, "float.tiff"),
        (STEPS.astype(np.float32), "float255.tiff"),
    ],
)
def test_every_depth_becomes_8_bits(pixels, name, tmp_path):
    np.testing.assert_array_equal(both(Image.fromarray(pixels), tmp_path / name), GREY)
    np.testing.assert_array_equal(array_pixels(pixels, 3, "--image").colour, GREY)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX", "P", "RGBA", "RGBa"])
def test_every_colour_mode_becomes_rgb(mode):
    image = Image.fromarray(COLOUR).convert(mode)
    expected = np.asarray(image.convert("RGBA" if mode == "RGBa" else "RGB"))[..., :3]
    np.testing.assert_array_equal(image_pixels(image, "--image").on_white(), expected)


def test_lab_becomes_rgb():
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(GREY), srgb, lab, outputMode="LAB")
    assert np.abs(image_pixels(image, "--image").colour.astype(int) - GREY).max() <= 3


@given(st.sampled_from([*range(1, 9), 0, 99]), st.booleans())
@settings(max_examples=20, deadline=None)
def test_pictures_are_turned_upright(orientation, alpha):
    image = Image.fromarray(COLOUR).convert("RGBA" if alpha else "RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = io.BytesIO()
    image.save(stored, "PNG", exif=exif)
    with Image.open(stored) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        np.testing.assert_array_equal(image_pixels(opened, "--image").on_white(), upright)


def half_transparent(mode):
    """Return a picture of that mode whose right half is transparent, and its pixels on white."""
    image = Image.fromarray(COLOUR).convert("L" if "L" in mode else "RGB")
    shown = np.asarray(image.convert("RGB")).copy()
    shown[:, 4:] = 255
    alpha = Image.new("L", (8, 6), 255)
    alpha.paste(0, (4, 0, 8, 6))
    image.putalpha(alpha)
    return image, shown


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_white(mode, tmp_path):
    image, shown = half_transparent(mode)
    np.testing.assert_array_equal(both(image, tmp_path / "a.png"), shown)
    np.testing.assert_array_equal(array_pixels(np.asarray(image), 3, "x").on_white(), shown)


def test_a_colour_that_is_declared_transparent_is_white(tmp_path):
    blocks = np.kron([[0, 1], [2, 3]], np.ones((2, 2))).astype(np.uint8)
    palette = Image.fromarray(blocks, "P")
    palette.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    shown = np.asarray(palette.convert("RGB")).copy()
    shown[blocks == 1] = 255
    np.testing.assert_array_equal(both(palette, tmp_path / "p.png", transparency=1), shown)
    rgb = palette.convert("RGB")
    options = {"transparency": (200, 0, 0)}
    np.testing.assert_array_equal(both(rgb, tmp_path / "rgb.png", **options), shown)
    deep = np.where(blocks == 1, 7 * 257, 200 * 257).astype(np.uint16)
    deep_shown = np.where(blocks == 1, 255, 200)
    image = Image.fromarray(deep)
    image.info["transparency"] = 7 * 257
    np.testing.assert_array_equal(image_pixels(image, "x").on_white()[..., 0], deep_shown)


def display_p3():
    """Return ICC profiles of sRGB and of the wide-gamut primaries of phones."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    raw = bytearray(profile)
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for tag, values in primaries.items():
        at = raw.find(tag, 128)
        offset = struct.unpack(">I", raw[at + 4 : at + 8])[0]
        struct.pack_into(">3i", raw, offset + 8, *(round(v * 65536) for v in values))
    return profile, bytes(raw)


def test_an_embedded_profile_is_converted_to_srgb(tmp_path):
    srgb, wide = display_p3()
    red = Image.new("RGB", (4, 4), (177, 50, 50))
    shown = both(red, tmp_path / "wide.png", icc_profile=wide)
    assert np.abs(shown[0, 0].astype(int) - (193, 32, 43)).max() <= 3
    same = both(Image.fromarray(COLOUR), tmp_path / "srgb.png", icc_profile=srgb)
    assert np.abs(same.astype(int) - COLOUR).max() <= 1
    clear = Image.new("RGBA", (4, 4), (177, 50, 50, 0))
    assert (both(clear, tmp_path / "clear.png", icc_profile=wide) == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_profile_that_does_not_fit_is_ignored(mode, tmp_path):
    plain = both(Image.new(mode, (4, 4), 90), tmp_path / "plain.tiff")
    broken = Image.new(mode, (4, 4), 90)
    for profile in (b"no profile" * 20, display_p3()[0] if mode == "CMYK" else b"\0" * 200):
        read = both(broken, tmp_path / "broken.tiff", icc_profile=profile)
        np.testing.assert_array_equal(read, plain)


def test_a_white_of_zero_at_16_bits_is_refused(tmp_path):
    Image.fromarray(STEPS.astype(np.uint16)).save(tmp_path / "a.tiff", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tiff") as stored:
        assert stored.tag_v2[262] == 0
    with pytest.raises(ValueError, match=r"a\.tiff is a TIFF of 16 bits whose white is 0"):
        read_image(tmp_path / "a.tiff")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"]))
    whole = io.BytesIO()
    Image.fromarray(COLOUR).save(whole, kind)
    stored = bytearray(whole.getvalue()[: data.draw(st.integers(0, len(whole.getvalue())))])
    for _ in range(data.draw(st.integers(0, 4)) if stored else 0):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.bin"
    path.write_bytes(stored)
    try:
        assert read_image(path).shape[-1] == 3
    except ValueError as error:
        assert "a.bin" in str(error)  # noqa: PT017


def test_a_lazy_pil_image_of_a_cut_file_is_refused_by_flag(tmp_path):
    Image.fromarray(np.tile(COLOUR, (20, 20, 1))).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with (
        Image.open(tmp_path / "a.png") as opened,
        pytest.raises(ValueError, match=r"--image is not an image that can be read"),
    ):
        image_pixels(opened, "--image")


def test_paths_that_are_not_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, kind in (("pipe.png", "a device or a pipe"), (".", "a folder")):
        with pytest.raises(ValueError, match=kind):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2, 3), 1.3), "0 to 1, or 0 to 255"),
        (np.full((2, 2, 3), -1.0), r"\(x \+ 1\) / 2"),
        (np.full((2, 2, 3), 256.0), "0 to 255"),
        (np.full((2, 2, 3), 70000), "0 to 65535"),
        (np.full((2, 2, 3), 1j), "complex"),
        (np.zeros((3, 20, 20)), "channels last"),
        (np.zeros((0, 4, 3)), r"shape \(0, 4, 3\)"),
    ],
)
def test_pixels_that_no_rule_fits_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        array_pixels(array, 3, "--image")


@given(st.sampled_from([np.bool_, np.uint8, np.uint16, np.float32, np.float64]), st.data())
@settings(max_examples=60, deadline=None)
def test_arrays_keep_their_values_whatever_their_type(dtype, data):
    top = {np.bool_: 1, np.uint8: 255, np.uint16: 65535}.get(dtype, 1.0)
    channels = data.draw(st.integers(1, 4))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 2, (4, 5, channels))
    pixels = array_pixels((values * top).astype(dtype), 3, "--image")
    colour = values[..., : 1 if channels < 3 else 3]
    np.testing.assert_array_equal(pixels.colour, np.broadcast_to(colour * 255, (4, 5, 3)))
    shown = np.where(values[..., -1:] if channels in (2, 4) else True, pixels.colour, 255)
    np.testing.assert_array_equal(pixels.on_white(), shown)
