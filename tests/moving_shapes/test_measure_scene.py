import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from lumiere_jax.moving_shapes.dataset import (
    Attributes,
    combinations,
    heldout_prompts,
    place,
    prompt,
    render,
)
from lumiere_jax.moving_shapes.scenes import BACKGROUNDS, COLOURS, MOTIONS, SHAPES
from lumiere_jax.moving_shapes.shapes import measure_scene, prompt_accuracy


def clips(count, size, seed):
    """Yield (attributes, rendered clip) of random combinations of both splits."""
    rng = np.random.default_rng(seed)
    every = combinations("train") + combinations("heldout")
    for _ in range(count):
        attributes = every[rng.integers(len(every))]
        yield attributes, render(place(attributes, rng), 80, size)


def clip_of(motion="right", shape="circle", colour="red", background="dark", size=32):
    attributes = Attributes(colour=colour, shape=shape, motion=motion, background=background)
    return render(place(attributes, np.random.default_rng(0)), 80, size)


def degraded(video, rng):
    """Degrade a clip as generation may: blur in space and time, noise, less contrast."""
    pixels = 32 / video.shape[1]
    sigma = (0.7, 0.7 / pixels, 0.7 / pixels, 0)
    soft = ndimage.gaussian_filter(video.astype(np.float32), sigma)
    grainy = soft + rng.normal(0, 8, soft.shape).astype(np.float32)
    return np.clip(128 + (grainy - 128) * rng.uniform(0.85, 1.05), 0, 255).astype(np.uint8)


def accuracy(pairs):
    rows = [measure_scene(video).agrees(attributes) for attributes, video in pairs]
    return {name: np.mean([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(("size", "count"), [(32, 100), (128, 20)])
def test_every_attribute_of_true_clips_is_recovered(size, count):
    assert min(accuracy(clips(count, size, seed=1)).values()) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 128])
def test_every_attribute_of_many_true_clips_is_recovered(size):
    assert min(accuracy(clips(1000, size, seed=2)).values()) >= 0.99


def test_soft_grainy_clips_are_still_recovered():
    rng = np.random.default_rng(3)
    pairs = [(attributes, degraded(video, rng)) for attributes, video in clips(60, 32, seed=4)]
    assert min(accuracy(pairs).values()) >= 0.98


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("colour", tuple(COLOURS)),
        ("shape", SHAPES),
        ("motion", tuple(m for m in MOTIONS if m != "spin")),
        ("background", BACKGROUNDS),
    ],
)
def test_every_word_can_be_told_from_the_others(name, words):
    assert [getattr(measure_scene(clip_of(**{name: w})), name) for w in words] == list(words)


def test_a_mirrored_clip_moves_the_other_way():
    assert measure_scene(clip_of("right")[:, :, ::-1]).motion == "left"
    assert measure_scene(clip_of("up")[:, ::-1]).motion == "down"
    assert measure_scene(clip_of("grow")[::-1]).motion == "shrink"


def test_a_still_picture_has_no_motion():
    still = np.repeat(clip_of("spin", "square")[40:41], 80, axis=0)
    measured = measure_scene(still)
    assert measured.motion is None
    assert (measured.colour, measured.shape, measured.one_object) == ("red", "square", True)


def test_no_object_and_two_objects_are_counted():
    empty = np.full((16, 32, 32, 3), 20, np.uint8)
    measured = measure_scene(empty)
    assert (measured.colour, measured.shape, measured.motion) == (None, None, None)
    assert (measured.background, measured.objects) == ("dark", (0,) * 16)
    attributes = Attributes(colour="red", shape="circle", motion="up", background="dark")
    scene = place(attributes, np.random.default_rng(0))
    pair = [render(dataclasses.replace(scene, x=x), 80, 32) for x in (0.2, 0.8)]
    assert set(measure_scene(np.maximum(*pair)).objects) == {2}


def test_one_frame_without_its_object_is_noticed():
    video = clip_of("right")
    video[30] = 20
    measured = measure_scene(video)
    assert measured.objects[30] == 0
    assert not measured.one_object
    assert measured.motion == "right"


def test_prompt_accuracy_counts_each_word_by_itself():
    truth = Attributes(colour="red", shape="circle", motion="right", background="dark")
    wrong = prompt(dataclasses.replace(truth, colour="blue", motion="left"))
    accuracy = prompt_accuracy([clip_of(), clip_of()], [prompt(truth), wrong])
    assert accuracy == {
        "colour": 0.5,
        "shape": 1.0,
        "motion": 0.5,
        "background": 1.0,
        "one_object": 1.0,
    }


@pytest.mark.usefixtures("unchecked")
def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="expected uint8"):
        measure_scene(np.zeros((4, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match="videos and prompts: 1 and"):
        prompt_accuracy([clip_of()], heldout_prompts())
