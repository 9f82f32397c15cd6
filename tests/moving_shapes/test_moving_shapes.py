import itertools

import numpy as np
import pytest

from lumiere_jax.moving_shapes import rendering, scenes
from lumiere_jax.moving_shapes.dataset import (
    Attributes,
    MovingShapes,
    combinations,
    heldout_prompts,
    place,
    prompt,
    read_caption,
    render,
    render_frame,
)

EVERY = combinations("train") + combinations("heldout")


def scene_of(motion, shape="square", seed=0, colour="red", background="dark"):
    attributes = Attributes(colour=colour, shape=shape, motion=motion, background=background)
    return place(attributes, np.random.default_rng(seed))


def test_the_same_seed_and_index_give_the_same_clip_and_others_do_not():
    first, again = MovingShapes(frames=4, size=32), MovingShapes(frames=4, size=32)
    np.testing.assert_array_equal(first.clip(3), again.clip(3))
    assert first.caption(3) == again.caption(3)
    assert (first.clip(3) != first.clip(4)).any()
    assert (first.clip(3) != MovingShapes(frames=4, size=32, seed=1).clip(3)).any()


@pytest.mark.parametrize("index", range(12))
def test_a_clip_of_128_pixels_shrunk_by_area_is_the_clip_of_32_pixels(index):
    small = MovingShapes(frames=4, size=32).clip(index).astype(float)
    large = MovingShapes(frames=4, size=128).clip(index).astype(float)
    shrunk = large.reshape(4, 32, 4, 32, 4, 3).mean((2, 4))
    assert np.abs(shrunk - small).mean() < 1
    # The distance field is not exact near corners: single pixels there may differ more.
    assert np.quantile(np.abs(shrunk - small), 0.995) < 17


@pytest.mark.parametrize("motion", scenes.MOTIONS)
def test_one_frame_drawn_alone_is_the_frame_of_the_clip(motion):
    scene = scene_of(motion, "star")
    clip = render(scene, 20, 32)
    for frame in (0, 7, 19):
        np.testing.assert_array_equal(render_frame(scene, frame, 20, 32), clip[frame])


def test_a_clip_of_fewer_frames_skips_frames_of_the_longer_one():
    scene = scene_of("orbit")
    np.testing.assert_array_equal(render(scene, 16, 32), render(scene, 80, 32)[::5])


@pytest.mark.parametrize("motion", scenes.MOTIONS)
def test_every_frame_shows_where_the_motion_came_from(motion):
    # The same pose without its trail looks different, in the first frame too.
    scene = scene_of(motion, "triangle")
    for frame in (0, 40, 79):
        shown = render_frame(scene, frame, 80, 32).astype(int)
        covered = rendering.coverage(scene, np.array([frame / 80]), 32)
        alone = rendering._paint(scene, covered, 0 * covered, 0 * covered)[0]
        assert (np.abs(shown - alone).max(-1) > 20).sum() >= 0.4 * (covered > 0.5).sum()


@pytest.mark.parametrize("seed", range(8))
def test_the_shape_stays_inside_the_frame(seed):
    rng = np.random.default_rng(seed)
    for attributes in rng.permutation(np.array(EVERY, object))[:40]:
        pose = place(attributes, rng).pose(np.arange(80) / 80)
        reach = rendering.OUTER[attributes.shape] * pose.radius
        for centre in (pose.x, pose.y):
            assert (centre - reach).min() >= 0
            assert (centre + reach).max() <= 1


def test_motions_do_what_their_words_say():
    time = np.arange(81) / 80
    pose = {motion: scene_of(motion).pose(time) for motion in scenes.MOTIONS}
    np.testing.assert_allclose(np.diff(pose["left"].x), -0.5 / 80)
    np.testing.assert_allclose(np.diff(pose["right"].x), 0.5 / 80)
    np.testing.assert_allclose(np.diff(pose["up"].y), -0.5 / 80)
    np.testing.assert_allclose(np.diff(pose["down"].y), 0.5 / 80)
    np.testing.assert_allclose(pose["grow"].radius, pose["shrink"].radius[::-1])
    assert pose["grow"].radius[-1] > 2.5 * pose["grow"].radius[0]
    assert np.ptp(pose["spin"].angle) == pytest.approx(np.pi)
    assert np.ptp(pose["bounce"].x) == 0
    assert np.ptp(pose["bounce"].y) == pytest.approx(0.45, abs=0.03)
    orbit = pose["orbit"]
    from_middle = np.hypot(orbit.x - orbit.x[:80].mean(), orbit.y - orbit.y[:80].mean())
    np.testing.assert_allclose(from_middle, 0.22)


def test_pairs_that_cannot_be_seen_never_occur():
    assert len(EVERY) == 6 * 5 * 9 * 4 - 6 * 2 * 4
    assert not [a for a in EVERY if a.motion == "spin" and a.shape in ("circle", "ring")]


def test_about_a_fifth_is_held_out_and_every_pair_is_still_seen_in_training():
    train, heldout = set(combinations("train")), set(combinations("heldout"))
    assert not train & heldout
    assert 200 <= len(heldout) <= len(EVERY) // 4
    names = ("colour", "shape", "motion", "background")
    for first, second in itertools.combinations(names, 2):
        pairs = {(getattr(a, first), getattr(a, second)) for a in EVERY}
        assert {(getattr(a, first), getattr(a, second)) for a in train} == pairs


@pytest.mark.parametrize("split", scenes.SPLITS)
def test_a_split_only_shows_its_own_combinations(split):
    shapes = MovingShapes(split=split)
    assert {shapes.scene(index).attributes.split for index in range(300)} == {split}


def test_every_caption_reads_back_as_its_scene():
    shapes = MovingShapes()
    captions = [shapes.caption(index) for index in range(400)]
    for index, caption in enumerate(captions):
        assert read_caption(caption) == shapes.scene(index).attributes
    assert len(set(captions)) > 300
    assert max(len(caption) for caption in captions) <= 63  # and an end token: 64 bytes


def test_the_plain_prompt_is_a_sentence():
    scene = scene_of("bounce", "circle")
    assert prompt(scene.attributes) == "a red circle bounces on a dark background"
    assert len(set(heldout_prompts())) == len(combinations("heldout"))


def test_a_prompt_that_is_not_of_the_grammar_is_refused():
    with pytest.raises(ValueError, match="one colour"):
        read_caption("a circle bounces on a dark background")
    with pytest.raises(ValueError, match="one motion"):
        read_caption("a red circle bounces and spins on a dark background")


def test_wrong_settings_name_their_field():
    with pytest.raises(ValueError, match="split='test'"):
        MovingShapes(split="test")
    with pytest.raises(ValueError, match="frames=0"):
        MovingShapes(frames=0)
