"""Regions, canvases and media: what people give becomes what the cascade takes, or is refused."""

import numpy as np
import pytest
from PIL import Image

from lumiere_jax.applications.canvas import place, plan_canvas
from lumiere_jax.applications.media import crop_region, open_clip, open_image
from lumiere_jax.applications.regions import open_region
from lumiere_jax.video import resize_and_crop, write_mp4


def region(shape=(1, 8, 8), size=8, **given):
    return open_region(shape, size, frame_rate=16, **given)


def test_boxes_and_polygons_are_drawn_in_pixels_of_the_picture():
    box = region(boxes=[(2, 1, 6, 4)])
    expected = np.zeros((1, 8, 8), bool)
    expected[:, 1:4, 2:6] = True
    np.testing.assert_array_equal(box, expected)
    triangle = region(polygons=[[(0, 0), (7, 0), (0, 7)]])[0]
    assert triangle[0].all()
    assert triangle[:, 0].all()
    assert not triangle[7, 1:].any()
    both = region(boxes=[(2, 1, 6, 4)], polygons=[[(0, 6), (1, 6), (1, 7), (0, 7)]])
    np.testing.assert_array_equal(both[:, :6], expected[:, :6])
    assert both[0, 7, 0]


def test_a_region_is_cropped_as_the_picture_is():
    picture = np.zeros((12, 20, 3), np.uint8)
    picture[3:9, 7:13] = 255
    drawn = region((1, 12, 20), 6, boxes=[(7, 3, 13, 9)])[0]
    fitted = resize_and_crop(picture, 6)
    np.testing.assert_array_equal(drawn, fitted[..., 0] > 0)


def test_a_pixel_that_a_region_touches_belongs_to_it():
    fine = np.zeros((1, 16, 16), bool)
    fine[0, 5, 9] = True
    coarse = crop_region(fine, 4)
    assert coarse.sum() == 1
    assert coarse[0, 1, 2]


def test_masks_come_from_files_pictures_and_arrays_alike(tmp_path):
    painted = np.zeros((8, 8), np.uint8)
    painted[:3] = 255
    Image.fromarray(painted).save(tmp_path / "mask.png")
    for mask in (tmp_path / "mask.png", Image.fromarray(painted), painted, painted > 0):
        np.testing.assert_array_equal(region(mask=mask)[0], painted > 0)


def test_a_mask_can_be_a_video(tmp_path):
    painted = np.zeros((4, 16, 16, 3), np.uint8)
    for frame in range(4):
        painted[frame, :, 4 * frame : 4 * frame + 4] = 255
    write_mp4(tmp_path / "mask.mp4", painted, 16)
    moving = region((4, 16, 16), 16, mask=tmp_path / "mask.mp4")
    assert (moving == (painted[..., 0] > 0)).mean() > 0.97
    with pytest.raises(ValueError, match=r"--mask has 4 frames and the clip 6.*--frames=4"):
        region((6, 16, 16), 16, mask=tmp_path / "mask.mp4")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"--mask is missing"),
        ({"mask": np.zeros((8, 8), bool)}, r"--mask marks nothing: paint white"),
        ({"mask": np.ones((8, 8), bool)}, r"--mask marks everything: leave black"),
        ({"mask": np.ones((8, 9), bool)}, r"--mask is 9×8 pixels and the picture 8×8"),
        ({"boxes": [(0, 0, 9, 4)]}, r"--box=0,0,9,4 is no box.*--box=0,0,8,8"),
        ({"boxes": [(0, 0, 4)]}, r"left,top,right,bottom"),
        ({"polygons": [[(0, 0), (1, 1)]]}, r"at least three corners"),
        ({"mask": "nowhere.png"}, r"--mask: nowhere.png"),
    ],
)
def test_a_region_that_cannot_be_is_refused(given, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        region(**given)


def test_a_region_outside_of_the_crop_is_refused():
    with pytest.raises(ValueError, match="marks nothing within the centre square"):
        region((1, 8, 16), 8, boxes=[(0, 0, 2, 8)])


def test_a_canvas_of_another_aspect_holds_the_whole_video_in_its_middle():
    canvas = plan_canvas(90, 160, 64, 8, aspect=1.0)
    assert (canvas.height, canvas.width) == (64, 64)
    assert (canvas.video_height, canvas.video_width) == (36, 64)
    assert (canvas.top, canvas.left) == (14, 0)


def test_the_long_side_of_a_canvas_is_a_multiple_of_the_unit():
    canvas = plan_canvas(100, 100, 128, 32, aspect=16 / 9)
    assert (canvas.height, canvas.width) == (128, 224)
    assert (canvas.video_height, canvas.video_width) == (128, 128)
    assert canvas.left == 48


def test_padding_is_in_pixels_of_the_video():
    canvas = plan_canvas(50, 50, 100, 10, padding=(50, 0, 0, 50))
    assert canvas == (100, 100, 0, 50, 50, 50)
    painted, known = place(np.full((2, 50, 50, 3), 9, np.uint8), canvas)
    assert (painted[:, :50, 50:] == 9).all()
    np.testing.assert_array_equal(known, (painted == 9).all((0, 3)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "outpainting needs --aspect=16:9, or --padding"),
        ({"padding": (1, 1, 1, 1), "aspect": 1.0}, "give one of the two"),
        ({"padding": (0, 0, 0, 0)}, "--padding=0,0,0,0 must add something"),
        ({"padding": (-1, 0, 0, 0)}, "take nothing away"),
        ({"aspect": 1.0}, "must add something.*try another --aspect"),
        ({"aspect": 99.0}, r"outside \[0\.1, 10\]"),
        ({"padding": (1, 0, 0, 0)}, "add more than 32 pixels"),
    ],
)
def test_a_canvas_that_adds_nothing_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        plan_canvas(100, 100, 128, 32, **given)


def test_pictures_of_any_kind_are_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    for image in (pixels, Image.fromarray(pixels), tmp_path / "photo.png"):
        np.testing.assert_array_equal(open_image(image), pixels)
    np.testing.assert_array_equal(open_clip([pixels] * 3, frame_rate=16), np.stack([pixels] * 3))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "--image is missing"),
        ("nowhere.png", "--image: nowhere.png"),
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\), expected \[h, w, 3\]"),
        (np.zeros((4, 4, 3), np.float32), "float32, expected uint8"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_image(image)


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"--video: "):
        open_clip(tmp_path / "clip.mp4", frame_rate=16)
    with pytest.raises(ValueError, match="--video is missing"):
        open_clip(None, frame_rate=16)
