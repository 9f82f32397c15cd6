"""Each application has its defining property, on a tiny cascade with random parameters."""

import numpy as np
import pytest

from lumiere_jax.checkpoints import Model
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.sampling import Request, shrink
from lumiere_jax.video import from_uint8, to_uint8
from tests.tiny import part, tiny_model, unet

FRAMES, BASE, SIZE = 4, 8, 16
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
VIDEO = RNG.integers(0, 256, (FRAMES, SIZE, SIZE, 3), np.uint8)
SMALL = RNG.integers(0, 256, (FRAMES, BASE, BASE, 3), np.uint8)
LEFT = (0, 0, SIZE // 2, SIZE)
QUIET = {"progress": False}


def one_level(*, refined: bool, observed: bool) -> Model:
    """Return the tiny model with one level, which compiles in half the time."""
    level = {"channels": (8,), "blocks": (1,), "attention": (True,)}
    options = {"diffusion": {}, "sampler": {"steps": 3, "guidance_scale": 2.0}}
    base = part(unet(**level, observed=observed), 1, frames=FRAMES, size=BASE, **options)
    if observed:
        base.params["observation"]["kernel"] *= (
            30  # small random parameters would hardly have an effect
        )
    parts = {"text": tiny_model().parts["text"], "base": base}
    if refined:
        config = unet(**level, low_resolution=True, augmentation=True)
        parts["ssr"] = part(config, 2, frames=2, size=SIZE, overlap=1, **options)
    return Model(parts=parts, settings={"name": "tiny", "stages": list(parts)[1:]})


@pytest.fixture(scope="module")
def told():
    """Return a cascade whose base takes observed videos."""
    return Lumiere(one_level(refined=True, observed=True))


@pytest.fixture(scope="module")
def plain():
    """Return a cascade whose base takes text only."""
    return Lumiere(one_level(refined=True, observed=False))


@pytest.fixture(scope="module")
def told_base():
    """Return a base that takes observed videos, without super-resolution."""
    return Lumiere(one_level(refined=False, observed=True))


@pytest.fixture(scope="module")
def plain_base():
    """Return a base that takes text only, without super-resolution."""
    return Lumiere(one_level(refined=False, observed=False))


def at_base(clip):
    """Downsample a clip of the result's size to the base's."""
    small, _ = shrink(from_uint8(clip)[None], np.ones((1, *clip.shape[:3], 1)), BASE)
    return to_uint8(small)[0]


@pytest.mark.parametrize("conditioning", ["trained", "free"])
def test_image_to_video_begins_with_the_image(told, conditioning):
    clip = told.image_to_video("a", IMAGE, conditioning=conditioning, **QUIET)
    np.testing.assert_array_equal(clip.video[0], IMAGE)
    np.testing.assert_array_equal(clip.stages["base"][0], at_base(IMAGE[None])[0])
    assert np.abs(clip.video[1:].astype(int) - IMAGE).mean() > 10


def test_the_trained_network_is_shown_what_is_observed_and_the_free_one_is_not(told_base):
    def made(conditioning):
        box = (0, 0, BASE // 2, BASE)
        clip = told_base.inpaint("a", SMALL, boxes=[box], conditioning=conditioning, **QUIET)
        return clip.video[:, :, : BASE // 2].astype(int)

    assert np.abs(made("trained") - made("free")).mean() > 1


def test_image_to_video_can_start_from_the_image_repeated(told_base):
    weak = told_base.image_to_video("a", SMALL[0], strength=1e-6, **QUIET)
    np.testing.assert_array_equal(weak.video, np.stack([SMALL[0]] * FRAMES))


def test_a_cinemagraph_is_the_still_outside_of_the_region_at_every_stage(told):
    clip = told.cinemagraph("a", IMAGE, boxes=[LEFT], **QUIET)
    still, small = np.stack([IMAGE] * FRAMES), at_base(np.stack([IMAGE] * FRAMES))
    right, right_small = np.s_[:, :, SIZE // 2 :], np.s_[:, :, BASE // 2 :]
    np.testing.assert_array_equal(clip.video[right], still[right])
    np.testing.assert_array_equal(clip.stages["base"][right_small], small[right_small])
    np.testing.assert_array_equal(clip.video[0], IMAGE)
    assert (
        np.abs(clip.video[1:, :, : SIZE // 2].astype(int) - still[1:, :, : SIZE // 2]).mean() > 10
    )


def test_inpainting_keeps_what_is_observed(told):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[3:9, 5:12] = 255
    clip = told.inpaint("a", VIDEO, mask=mask, **QUIET)
    kept = mask == 0
    np.testing.assert_array_equal(clip.video[:, kept], VIDEO[:, kept])
    assert np.abs(clip.video[:, ~kept].astype(int) - VIDEO[:, ~kept]).mean() > 10


def test_a_mask_that_moves_keeps_what_is_observed_in_each_frame(told):
    mask = np.zeros((FRAMES, SIZE, SIZE), bool)
    for frame in range(FRAMES):
        mask[frame, :, 4 * frame : 4 * frame + 4] = True
    clip = told.inpaint("a", VIDEO, mask=mask, **QUIET)
    np.testing.assert_array_equal(clip.video[~mask], VIDEO[~mask])


def test_outpainting_keeps_the_whole_video_on_a_wider_canvas(told):
    clip = told.outpaint("a", VIDEO, aspect=2.0, **QUIET)
    assert clip.video.shape == (FRAMES, SIZE, 2 * SIZE, 3)
    middle = np.s_[:, :, SIZE // 2 : SIZE // 2 + SIZE]
    np.testing.assert_array_equal(clip.video[middle], VIDEO)
    assert clip.stages["base"].shape == (FRAMES, BASE, 2 * BASE, 3)


def test_an_edit_of_vanishing_strength_is_the_source_to_the_base(plain):
    clip = plain.edit("a", VIDEO, strength=1e-6, **QUIET)
    difference = clip.stages["base"].astype(int) - at_base(VIDEO)
    assert np.abs(difference).max() <= 1  # grey level: the last noise level is not 0
    assert clip.video.shape == VIDEO.shape


def test_a_stronger_edit_goes_further_from_the_source(plain_base):
    def distance(strength):
        clip = plain_base.edit("a", SMALL, strength=strength, **QUIET)
        return np.abs(clip.video.astype(int) - SMALL).mean()

    assert 0 < distance(0.1) < distance(0.4) < distance(0.7)


def test_a_continuation_begins_with_the_last_frames_of_the_video(told):
    clip = told.continue_video("a", VIDEO, keep=2, **QUIET)
    np.testing.assert_array_equal(clip.video[:2], VIDEO[-2:])
    np.testing.assert_array_equal(clip.stages["base"][:2], at_base(VIDEO[-2:]))
    assert np.abs(clip.video[2:].astype(int) - VIDEO[2:]).mean() > 10


def test_upscaling_leaves_the_base_out(plain):
    clip = plain.upscale("a", VIDEO, **QUIET)
    assert list(clip.stages) == ["ssr"]
    assert clip.video.shape == VIDEO.shape


def test_each_shot_is_a_window_with_its_own_prompt(plain_base):
    def base(shots):
        return plain_base.text_to_video("x", shots=shots, **QUIET).video.astype(int)

    one, other = base(["left", "up"]), base(["left", "down"])
    # Two windows of four frames that share two: six frames, the last two only in the second shot.
    assert len(one) == 6
    # A step changes the shared frames of both windows; later steps then change the first shot.
    changed = np.abs(one - other).mean((1, 2, 3))
    assert changed[4:].min() > changed[:2].max()


def test_more_frames_than_the_base_was_trained_on_are_made_by_windows(plain_base):
    assert plain_base.text_to_video("a", frames=6, **QUIET).video.shape == (6, BASE, BASE, 3)


def test_a_conditional_model_that_is_shown_nothing_reads_a_blank(told_base):
    blank = np.zeros((1, FRAMES, BASE, BASE, 3), np.float32)
    request = {"prompts": ["a"], "seeds": [0]}
    alone = told_base.make(Request(**request), **QUIET)[0]
    shown = told_base.make(Request(**request, observed=blank, mask=blank[..., :1]), **QUIET)[0]
    np.testing.assert_allclose(alone.video.astype(int), shown.video, atol=1)


def test_resampling_jumps_keep_what_is_observed(plain_base):
    samplers = plain_base.samplers(jump_length=1, jump_repeats=2)
    options = {"conditioning": "free", "samplers": samplers}
    clip = plain_base.image_to_video("a", SMALL[0], **options, **QUIET)
    np.testing.assert_array_equal(clip.video[0], SMALL[0])


def test_what_the_model_was_not_trained_for_says_how_it_can_be_done(plain_base):
    for make in (
        lambda: plain_base.image_to_video("a", IMAGE),
        lambda: plain_base.inpaint("a", VIDEO, boxes=[LEFT]),
        lambda: plain_base.outpaint("a", VIDEO, aspect=2.0),
        lambda: plain_base.cinemagraph("a", IMAGE, boxes=[LEFT]),
        lambda: plain_base.continue_video("a", VIDEO, keep=1),
    ):
        with pytest.raises(ValueError, match=r"--conditioning=free, or train .*:conditional"):
            make()


def test_the_recipe_says_what_was_given_and_how_it_was_fitted(told):
    recipe = told.cinemagraph("a", IMAGE, boxes=[LEFT], seed=3, **QUIET).recipe
    assert recipe["application"] == "cinemagraph"
    assert recipe["image"] == "ndarray (16, 16, 3)"
    assert recipe["boxes"] == [LEFT]
    assert recipe["fit"] == "short side resized, centre square kept"
    assert (recipe["seed"], recipe["conditioning"]) == (3, "trained")


def test_impossible_requests_are_one_line_that_names_the_flag(plain_base):
    short = SMALL[:3]
    for make, message in (
        (lambda: plain_base.edit("a", short, frames=4), r"--frames=4, but --video has 3 .*=3"),
        (lambda: plain_base.edit("a", SMALL, strength=0), r"--strength=0 is outside \(0, 1\]"),
        (lambda: plain_base.edit("a", SMALL, strength=1.5), r"--strength=1.5 is outside"),
        (lambda: plain_base.continue_video("a", SMALL, keep=5), r"--keep=5, but --video has 4"),
        (lambda: plain_base.continue_video("a", SMALL, keep=4), r"--keep=4 leaves no frame"),
        (lambda: plain_base.text_to_video("a", frames=0), r"--frames=0 lies outside"),
        (lambda: plain_base.upscale("a", SMALL), r"--upscale: this model has no super-resol"),
        (lambda: plain_base.inpaint("a", SMALL), r"--mask is missing"),
        (lambda: plain_base.image_to_video("a", None), r"--image is missing"),
        (lambda: plain_base.text_to_video("a", shots=["b"] * 9, frames=6), r"9 prompts for 2"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_a_clip_shorter_than_the_model_makes_is_taken_whole(plain_base):
    assert plain_base.edit("a", SMALL[:3], strength=1e-6, **QUIET).video.shape[0] == 3


def test_an_image_model_says_that_it_makes_no_videos():
    level = {"channels": (8,), "blocks": (1,), "attention": (True,), "temporal": None}
    options = {"diffusion": {}, "sampler": {"steps": 1}}
    base = part(unet(**level), 1, frames=1, size=BASE, **options)
    parts = {"text": tiny_model().parts["text"], "base": base}
    model = Lumiere(Model(parts=parts, settings={"stages": ["base"]}))
    for make in (
        lambda: model.image_to_video("a", SMALL[0], frames=4),
        lambda: model.text_to_video("a", frames=2),
    ):
        with pytest.raises(ValueError, match=r"makes single images; train its base stage"):
            make()


def test_a_canvas_that_no_stage_can_divide_is_refused():
    model = Lumiere(tiny_model(observed=True))
    with pytest.raises(ValueError, match=r"a canvas of 11×8 pixels .* multiples of 2"):
        model.make(
            Request(
                prompts=["a"],
                seeds=[0],
                observed=np.zeros((1, FRAMES, 8, 11, 3), np.float32),
                mask=np.zeros((1, FRAMES, 8, 11, 1), np.float32),
            )
        )
