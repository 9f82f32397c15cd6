"""Pictures and clips of every kind become the same frames, or are refused by flag."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lumiere_jax.applications.media import open_clip, open_image
from lumiere_jax.video import write_mp4

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), np.uint8)
CLIP = RNG.integers(0, 256, (6, 5, 7, 3), np.uint8)


def test_pictures_of_any_kind_are_the_same_pixels(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    deep, fine = PIXELS.astype(np.uint16) * 257, PIXELS / 255
    for image in (PIXELS, deep, fine, Image.fromarray(PIXELS), tmp_path / "photo.png"):
        np.testing.assert_array_equal(open_image(image), PIXELS)


def test_clips_of_any_kind_are_the_same_frames(tmp_path):
    pictures = [Image.fromarray(frame) for frame in CLIP]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    opaque = np.concatenate([CLIP, np.full_like(CLIP[..., :1], 255)], -1)
    for clip in (CLIP, CLIP / 255, CLIP.astype(np.float32), opaque, list(CLIP), pictures, paths):
        np.testing.assert_array_equal(open_clip(clip, frame_rate=8), CLIP)
    mixed = [CLIP[0], pictures[1], paths[2], str(paths[3]), CLIP[4] / 255, pictures[5]]
    np.testing.assert_array_equal(open_clip(mixed, frame_rate=8), CLIP)


def test_grey_and_transparent_clips_become_rgb():
    grey = CLIP[..., 0]
    for clip in (grey, grey[..., None], list(grey)):
        np.testing.assert_array_equal(
            open_clip(clip, frame_rate=8), np.repeat(grey[..., None], 3, -1)
        )
    clear = np.concatenate([CLIP, np.zeros_like(CLIP[..., :1])], -1)
    assert (open_clip(clear, frame_rate=8) == 255).all()
    assert (open_clip([Image.fromarray(frame) for frame in clear], frame_rate=8) == 255).all()


def test_a_dark_frame_does_not_change_how_a_clip_of_floats_is_read():
    clip = CLIP.astype(np.float32)
    clip[2] = 1.0
    for given_clip in (clip, list(clip)):
        assert (open_clip(given_clip, frame_rate=8)[2] == 1).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animated_picture_is_a_video_with_its_own_times(kind, tmp_path):
    frames = [Image.new("L", (8, 8), 40 * number) for number in range(5)]
    path = tmp_path / "animation.dat"
    options = {"lossless": True} if kind == "WEBP" else {}
    durations = [100, 300, 100, 100, 200]
    frames[0].save(
        path, kind, save_all=True, append_images=frames[1:], duration=durations, **options
    )
    expected = [0, 1, 1, 1, 2, 3, 4, 4]
    with Image.open(path) as image:
        for source in (path, image):
            clip = open_clip(source, frame_rate=10)
            np.testing.assert_array_equal(clip[:, 0, 0, 0] // 40, expected)
    assert len(open_clip(path, frame_rate=10, frames=3)) == 3
    last = open_clip(path, frame_rate=10, last=3)
    np.testing.assert_array_equal(last[:, 0, 0, 0] // 40, expected[-3:])


def test_an_animation_is_shown_on_white(tmp_path):
    clear = [Image.new("RGBA", (8, 8), (255, 0, 0, 0)) for _ in range(2)]
    clear[1].putpixel((0, 0), (9, 9, 9, 255))
    clear[0].save(tmp_path / "a.webp", save_all=True, append_images=clear[1:], lossless=True)
    clip = open_clip(tmp_path / "a.webp", frame_rate=10)
    assert (clip[0] == 255).all()
    assert clip[-1, 0, 0].tolist() == [9, 9, 9]


@given(st.integers(1, 8), st.integers(1, 8), st.sampled_from(["array", "list"]))
@settings(max_examples=20)
def test_the_last_frames_are_the_end_of_all(count, last, how):
    clip = RNG.integers(0, 256, (count, 2, 2, 3), np.uint8)
    given_clip = clip if how == "array" else list(clip)
    np.testing.assert_array_equal(open_clip(given_clip, frame_rate=8, last=last), clip[-last:])


def test_the_last_frames_of_a_file_are_the_end_of_all(tmp_path):
    write_mp4(tmp_path / "a.mp4", np.repeat(CLIP, 4, 0).repeat(8, 1).repeat(8, 2), 8)
    whole = open_clip(tmp_path / "a.mp4", frame_rate=8)
    np.testing.assert_array_equal(open_clip(tmp_path / "a.mp4", frame_rate=8, last=5), whole[-5:])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "--image is missing"),
        ("nowhere.png", "--image: nowhere.png"),
        (".", r"--image: \. is a folder"),
        ("https://example.org/a.png", "not a path: download it"),
        (b"a.png", "--image is of type bytes; give a path"),
        ([[1, 2], [3, 4]], "--image is of type list"),
        (np.zeros((4, 4, 5), np.uint8), r"--image: .*shape \(4, 4, 5\), expected \[h, w\]"),
        (np.full((4, 4, 3), 1.5, np.float32), "--image: float32 pixels from 1.5"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_image(image)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (None, "--video is missing"),
        ([], "--video is an empty list of pictures"),
        ([PIXELS, PIXELS[:4]], r"--video: pictures of several sizes \(7×4, 7×5\)"),
        ([PIXELS, "nowhere.png"], "--video, picture 1: nowhere.png"),
        (np.zeros((4, 4), np.uint8), r"--video: .*shape \(4, 4\), expected \[t, h, w"),
        (Image.fromarray(PIXELS), "--video: .* is one picture"),
    ],
)
def test_what_is_no_video_is_refused(video, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_clip(video, frame_rate=16)


def test_files_that_are_no_video_are_refused(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    Image.fromarray(PIXELS).save(tmp_path / "still.mp4", "PNG")
    with pytest.raises(ValueError, match=r"--video: .*"):
        open_clip(tmp_path / "clip.mp4", frame_rate=16)
    with pytest.raises(ValueError, match=r"--video: .*still.mp4 is one picture"):
        open_clip(tmp_path / "still.mp4", frame_rate=16)


@given(st.data())
@settings(max_examples=40)
def test_a_damaged_animation_is_read_or_refused_by_name(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(["GIF", "WEBP", "PNG"]))
    path = tmp_path_factory.mktemp("damaged") / "a.bin"
    frames = [Image.fromarray(frame) for frame in CLIP]
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=100)
    stored = bytearray(path.read_bytes())
    stored = stored[: data.draw(st.integers(8, len(stored)))]
    for _ in range(data.draw(st.integers(0, 4))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(stored)
    try:
        assert open_clip(path, frame_rate=10, frames=50).shape[-1] == 3
    except ValueError as error:
        assert str(error).startswith("--video")  # noqa: PT017
