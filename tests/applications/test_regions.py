"""Regions and canvases: drawings become masks for the cascade, or are refused."""

import math

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from lumiere_jax.applications.canvas import place, plan_canvas
from lumiere_jax.applications.media import crop_region
from lumiere_jax.applications.regions import open_region
from lumiere_jax.video import resize_and_crop


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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"--mask is missing"),
        ({"mask": np.zeros((8, 8), bool)}, r"--mask marks nothing: its largest.*paint white"),
        ({"mask": np.ones((8, 8), bool)}, r"--mask marks everything: leave black"),
        ({"mask": np.ones((8, 9), bool)}, r"--mask is 9×8 pixels and the picture 8×8"),
        ({"boxes": [(0, 0, 9, 4)]}, r"--box=0,0,9,4 is not a box.*--box=0,0,8,8"),
        ({"boxes": [(0, 0, 4)]}, r"left,top,right,bottom"),
        ({"boxes": [(math.nan, 0, 4, 4)]}, r"--box=nan,0,4,4: every number is a coordinate in"),
        ({"boxes": [(0, 0, math.inf, 4)]}, r"--box=0,0,inf,4: every number"),
        ({"boxes": [(0, 0, 10**5000, 4)]}, r"--box=0,0,a number of many digits,4: every number"),
        ({"boxes": [("a", 0, 1, 4)]}, r"--box=a,0,1,4: every number"),
        ({"boxes": (0, 0, 4, 4)}, r"--box=0: give left,top,right,bottom"),
        ({"polygons": [[(0, 0), (1, 1)]]}, r"at least three corners"),
        ({"polygons": [[(0, 0), (1, 1, 1), (2, 2)]]}, r"--polygon=0,0,1,1,1,2,2: every number"),
        ({"polygons": [[(0, 0), (1, math.nan), (5, 5)]]}, r"--polygon=0,0,1,nan,5,5: every"),
        ({"polygons": [[(0, 0), (1e9, 0), (5, 5)]]}, r"from -128 to 128 for a picture of 8×8"),
        ({"polygons": [[(9, 9), (20, 9), (20, 20)]]}, r"--polygon marks nothing"),
        ({"mask": "nowhere.png"}, r"--mask: nowhere.png"),
    ],
)
def test_a_region_that_cannot_be_is_refused(given, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        region(**given)


@drawn(st.lists(st.floats() | st.integers(-(10**30), 10**30), min_size=4, max_size=4))
def test_any_box_of_numbers_is_drawn_or_refused_by_flag(box):
    try:
        drawn_box = region((1, 8, 8), 8, boxes=[box])
    except ValueError as error:
        assert str(error).startswith("--box")  # noqa: PT017
    else:
        assert 0 < drawn_box.sum() < 64


@drawn(st.tuples(*[st.floats() | st.integers(0, 400)] * 4))
def test_any_padding_gives_a_canvas_of_bounded_size_or_is_refused(padding):
    try:
        canvas = plan_canvas(50, 60, 32, 8, padding=padding)
    except ValueError as error:
        assert "--padding" in str(error)  # noqa: PT017
    else:
        assert max(canvas.height, canvas.width) <= 10 * min(canvas.height, canvas.width) == 320


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
        ({"padding": (math.nan, 0, 1, 0)}, "--padding=nan,0,1,0 must add something"),
        ({"padding": (1e9, 0, 0, 0)}, "up to 800 pixels"),
        ({"padding": (600, 600, 600)}, "--padding=600,600,600: give left,top,right,bottom"),
        ({"padding": (800, 0, 800, 0)}, "17 times its height"),
        ({"aspect": 1.0}, "--aspect=1 is the video's own.*must add something.*try another"),
        ({"aspect": 1.01}, "--aspect: the canvas has 128×128 pixels, all of them the video's"),
        ({"aspect": 99.0}, r"outside \[0\.1, 10\]"),
        ({"aspect": math.nan}, r"outside \[0\.1, 10\]"),
        ({"padding": (1, 0, 0, 0)}, "add more than 32 pixels"),
    ],
)
def test_a_canvas_that_adds_nothing_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        plan_canvas(100, 100, 128, 32, **given)
