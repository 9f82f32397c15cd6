"""Masks of the conditional stage: each kind fits its name, the same for the same clip."""

import dataclasses

import numpy as np
import pytest

from lumiere_jax.input_pipeline.masks import (
    KINDS,
    MaskMixture,
    boxes,
    draw_mask,
    mask_of,
    moved,
    strokes,
)

SHAPE = (8, 16, 24)
SEEDS = range(30)


def drawn(kind, seed):
    return KINDS[kind](np.random.default_rng(seed), SHAPE)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_have_the_shape_of_the_clip(kind):
    mask, _ = drawn(kind, 0)
    assert mask.shape == (*SHAPE, 1)
    assert mask.dtype == bool


def test_image_to_video_observes_the_first_frame_alone():
    mask, still = drawn("image_to_video", 0)
    assert mask[0].all()
    assert not mask[1:].any()
    assert not still


def test_a_continuation_observes_whole_frames_at_one_end():
    ends = set()
    for seed in SEEDS:
        mask = drawn("continuation", seed).mask[:, 0, 0, 0]
        assert (drawn("continuation", seed).mask == mask[:, None, None, None]).all()
        assert 1 <= mask.sum() <= 4
        assert np.abs(np.diff(mask.astype(int))).sum() == 1
        ends.add(bool(mask[0]))
    assert ends == {True, False}


def test_inpainting_hides_some_and_not_all_and_half_of_the_regions_move():
    moving = 0
    for seed in SEEDS:
        mask, still = drawn("inpaint", seed)
        assert not still
        assert 0 < mask.mean() < 1
        moving += (mask != mask[:1]).any()
    assert len(SEEDS) / 4 < moving < len(SEEDS) * 3 / 4


def test_outpainting_observes_one_rectangle_all_the_time():
    for seed in SEEDS:
        mask = drawn("outpaint", seed).mask[..., 0]
        assert (mask == mask[:1]).all()
        rows, columns = mask[0].any(1), mask[0].any(0)
        np.testing.assert_array_equal(mask[0], rows[:, None] & columns)
        for line in (rows, columns):
            assert np.abs(np.diff(np.pad(line, 1).astype(int))).sum() == 2
        assert 0 < mask[0].mean() < 1


def test_a_cinemagraph_observes_the_still_and_hides_one_region_of_the_other_frames():
    for seed in SEEDS:
        mask, still = drawn("cinemagraph", seed)
        assert still
        assert mask[0].all()
        assert (mask[1:] == mask[1]).all()
        assert 0 < mask[1].mean() < 1


def test_nothing_is_observed_where_there_is_no_mask():
    assert not drawn("none", 0).mask.any()


def test_kinds_come_in_their_shares():
    rng, mixture = np.random.default_rng(0), MaskMixture()
    masks = [draw_mask(mixture, rng, 2, 8, 8) for _ in range(2000)]
    stills = np.mean([mask.still for mask in masks])
    nothing = np.mean([not mask.mask.any() for mask in masks])
    assert abs(stills - mixture.cinemagraph) < 0.03
    assert abs(nothing - mixture.none) < 0.03
    assert sum(dataclasses.asdict(mixture).values()) == pytest.approx(1)


def test_a_mask_is_a_function_of_seed_record_and_position():
    strokes_alone = MaskMixture(**dict.fromkeys(KINDS, 0.0) | {"inpaint": 1.0})

    def mask(seed=0, record=1, position=2):
        return mask_of(strokes_alone, seed, record, position, (*SHAPE, 3)).mask

    np.testing.assert_array_equal(mask(), mask())
    for other in ({"seed": 1}, {"record": 2}, {"position": 3}):
        assert (mask(**other) != mask()).any()


def test_a_region_moves_by_its_travel_and_is_in_place_in_mid_clip():
    region = np.zeros((9, 9), bool)
    region[4, 4] = True
    path = [tuple(np.argwhere(frame)[0]) for frame in moved(region, np.array([4.0, -2.0]), 5)]
    assert path == [(2, 5), (3, 4), (4, 4), (5, 4), (6, 3)]
    gone = moved(region, np.array([40.0, 0.0]), 3)
    assert [frame.sum() for frame in gone] == [0, 1, 0]


def test_boxes_and_strokes_fill_a_part_of_the_frame():
    for draw in (boxes, strokes):
        parts = [draw(np.random.default_rng(seed), 32, 32).mean() for seed in SEEDS]
        assert min(parts) > 0
        assert 0.1 < np.mean(parts) < 0.6


def test_invalid_shares_are_refused():
    with pytest.raises(ValueError, match=r"data\.masks\.inpaint=-1"):
        MaskMixture(inpaint=-1)
    with pytest.raises(ValueError, match="all shares are 0"):
        MaskMixture(**dict.fromkeys(KINDS, 0.0))
