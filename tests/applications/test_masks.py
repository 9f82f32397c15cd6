"""Masks give the same region as path, PIL image and array, and moving masks move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from lumiere_jax.applications.masks import open_mask
from lumiere_jax.video import write_mp4

LEFT = np.zeros((16, 24), bool)
LEFT[:, :9] = True
U8 = (255 * LEFT).astype(np.uint8)
MOVING = np.stack([np.roll(LEFT, 2 * number, 1) for number in range(6)])


def opened(mask, shape=(1, 16, 24)):
    return open_mask(mask, shape, 8.0)


def with_alpha(colour, alpha):
    return np.dstack([np.broadcast_to(np.asarray(colour, np.uint8), (16, 24, 3)), alpha])


@pytest.mark.parametrize(
    "mask",
    [
        LEFT,
        U8,
        U8[..., None],
        U8[None],
        U8[None, ..., None],
        LEFT.astype(np.uint8),
        LEFT.astype(np.int64),
        LEFT.astype(np.uint16),
        LEFT.astype(np.float32),
        U8.astype(np.float64),
        np.where(LEFT, 0.6, 0.4),
        np.where(LEFT, 65535, 20000).astype(np.uint16),
        np.stack([LEFT] * 3, -1),
        with_alpha(U8[..., None], U8),
        with_alpha(255, U8),
        with_alpha(0, U8),
        with_alpha((255, 0, 0), U8),
        with_alpha(U8[..., None], np.full_like(U8, 255)),
        np.stack([U8, U8], -1),
    ],
)
def test_every_kind_of_array_marks_what_is_white_or_painted(mask):
    np.testing.assert_array_equal(opened(mask)[0], LEFT)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(U8),
        Image.fromarray(LEFT),
        Image.fromarray(LEFT.astype(np.uint8)),
        Image.fromarray(np.where(LEFT, 65535, 20000).astype(np.uint16)),
        Image.fromarray(LEFT.astype(np.uint16)),
        Image.fromarray(U8).convert("P"),
        Image.fromarray(with_alpha(U8[..., None], U8)),
        Image.fromarray(with_alpha(255, U8)),
        Image.fromarray(with_alpha(0, U8)),
        Image.merge("LA", (Image.fromarray(U8), Image.fromarray(U8))),
    ],
)
def test_a_mask_by_path_is_the_mask_as_pil_image(image, tmp_path):
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(opened(image)[0], LEFT)
    np.testing.assert_array_equal(opened(tmp_path / "mask.png")[0], LEFT)


@given(arrays.arrays(np.bool_, (16, 24)), st.sampled_from(["array", "PIL", "alpha", "labels"]))
@settings(max_examples=40)
def test_any_drawing_is_returned_as_it_was_drawn(drawing, how):
    painted = (255 * drawing).astype(np.uint8)
    mask = {
        "array": painted,
        "PIL": Image.fromarray(painted),
        "alpha": with_alpha(255, painted),
        "labels": drawing.astype(np.int32),
    }[how]
    if drawing.any():
        np.testing.assert_array_equal(opened(mask)[0], drawing)
    else:
        with pytest.raises(ValueError, match="--mask marks nothing"):
            opened(mask)


FRAMES = [Image.fromarray((255 * frame).astype(np.uint8)) for frame in MOVING]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "gif.dat"])
def test_an_animated_picture_is_a_moving_mask(name, tmp_path):
    options = {"lossless": True} if name.endswith("webp") else {}
    if name == "gif.dat":
        options["format"] = "GIF"
    path = tmp_path / name
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:], duration=125, **options)
    np.testing.assert_array_equal(opened(path, (6, 16, 24)), MOVING)
    np.testing.assert_array_equal(opened(path, (4, 16, 24)), MOVING[:4])
    with Image.open(path) as image:
        np.testing.assert_array_equal(opened(image, (6, 16, 24)), MOVING)
    with pytest.raises(ValueError, match=r"--mask has 6 frames and the clip 9.*--frames=6"):
        opened(path, (9, 16, 24))


def test_a_moving_mask_with_transparency_is_one_rule_for_all_its_frames(tmp_path):
    frames = [Image.fromarray(with_alpha(255, (255 * frame).astype(np.uint8))) for frame in MOVING]
    options = {"save_all": True, "append_images": frames[1:], "duration": 125}
    frames[0].save(tmp_path / "a.webp", lossless=True, exact=True, **options)
    np.testing.assert_array_equal(opened(tmp_path / "a.webp", (6, 16, 24)), MOVING)
    np.testing.assert_array_equal(opened(frames, (6, 16, 24)), MOVING)


@pytest.mark.parametrize(
    "mask", [MOVING, (255 * MOVING[..., None]).astype(np.uint8), FRAMES, list(MOVING)]
)
def test_arrays_and_lists_of_pictures_move(mask):
    np.testing.assert_array_equal(opened(mask, (6, 16, 24)), MOVING)


@pytest.mark.parametrize(("name", "format"), [("mask.mp4", None), ("mask.dat", "mp4")])
def test_a_mask_can_be_any_video(name, format, tmp_path):
    frames = np.repeat((255 * MOVING[..., None]).astype(np.uint8), 3, -1)
    write_mp4(tmp_path / "mask.mp4", frames, 8)
    (tmp_path / "mask.mp4").rename(tmp_path / name)
    assert (opened(tmp_path / name, (6, 16, 24)) == MOVING).mean() > 0.97
    with pytest.raises(ValueError, match=r"--mask is 24×16 pixels and the picture 24×18"):
        opened(tmp_path / name, (6, 18, 24))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.where(LEFT, 20, 0).astype(np.uint8), "its largest value is 20 of 255; paint white"),
        (with_alpha(255, 0 * U8)[..., :3] * 0, "its largest value is 0 of 255"),
        (with_alpha((128, 0, 0), U8)[..., :3], r"its lightest colour \(128, 0, 0\)"),
        (with_alpha(255, U8 // 4), "the largest alpha is 63 of 255"),
        (U8[:8], r"--mask is 24×8 pixels and the picture 24×16"),
        (np.zeros((2, 2, 2, 2, 2)), r"an array of shape"),
        ([], "--mask is an empty list of pictures"),
        (b"mask.png", "--mask is of type bytes"),
        ("https://example.org/mask.png", "download it"),
    ],
)
def test_what_is_no_mask_says_why(mask, message):
    with pytest.raises(ValueError, match=message):
        opened(mask)


def test_a_picture_with_a_hole_is_no_mask():
    photo = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    with pytest.raises(ValueError, match="a picture with a hole"):
        opened(with_alpha(photo, U8))


def test_the_size_of_a_moving_mask_is_compared_before_all_is_decoded(tmp_path, monkeypatch):
    FRAMES[0].save(tmp_path / "a.webp", save_all=True, append_images=FRAMES[1:], duration=125)
    from lumiere_jax.video import animations

    decoded = []
    image_pixels = animations.image_pixels
    monkeypatch.setattr(
        animations, "image_pixels", lambda *a, **k: decoded.append(a) or image_pixels(*a, **k)
    )
    with pytest.raises(ValueError, match="--mask is 24×16"):
        opened(tmp_path / "a.webp", (6, 20, 24))
    assert 0 < len(decoded) <= 2
