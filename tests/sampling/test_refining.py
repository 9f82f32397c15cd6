"""Super-resolution in the cascade: sizes, windows, tiles, several stages, many devices."""

import jax
import numpy as np
import pytest

from lumiere_jax.checkpoints import Model
from lumiere_jax.diffusion import SamplerConfig
from lumiere_jax.models import TemporalConfig
from lumiere_jax.parallel import MeshConfig, make_mesh
from lumiere_jax.sampling import Cascade, Request
from lumiere_jax.video import from_uint8
from tests.tiny import part, tiny_model, unet

LOW = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 8, 3)).astype(np.float32)
SAMPLING = {"diffusion": {}, "sampler": {"steps": 2}}


def refiner(seed, size, factor, frames=4, **settings):
    """Return a refining network without text."""
    config = unet(
        low_resolution=True,
        augmentation=True,
        self_attention=False,
        text_dim=None,
        attention=(False, False),
        temporal=TemporalConfig(head_dim=8, attention_layers=1, resize=(False,)),
    )
    options = {"size": size, "factor": factor, "frames": frames, "overlap": 1}
    return part(config, seed, **(options | SAMPLING | settings))


def cascade(mesh=None, **parts) -> Cascade:
    return Cascade.from_model(Model(parts=parts, settings={"stages": list(parts)}), mesh=mesh)


def refine(model, low=LOW, **request):
    options = {"prompts": ["a"] * len(low), "seeds": range(len(low)), "low_resolution": low}
    return model.sample(Request(**(options | request)), progress=False)


@pytest.fixture(scope="module")
def twice():
    """Return a cascade of two ×2 stages, the second one in tiles."""
    return cascade(
        ssr=refiner(1, 16, 2), finer=refiner(2, 32, 2, tile=16, tile_overlap=4, weights="ramp")
    )


@pytest.fixture(scope="module")
def refined(twice):
    return refine(twice)


def test_stages_refine_one_after_another(refined):
    assert {name: clip.shape for name, clip in refined.items()} == {
        "ssr": (1, 8, 16, 16, 3),
        "finer": (1, 8, 32, 32, 3),
    }


def test_every_stage_has_its_own_sampler(twice, refined):
    changed = twice.sample(
        Request(prompts=["a"], seeds=[0], low_resolution=LOW),
        samplers={"finer": SamplerConfig(steps=1, threshold="none")},
        progress=False,
    )
    np.testing.assert_array_equal(changed["ssr"], refined["ssr"])
    assert np.abs(changed["finer"].astype(int) - refined["finer"]).mean() > 1


def test_a_stage_without_text_follows_one_with_and_draws_its_own_noise():
    parts = tiny_model().parts | {"ssr": refiner(1, 16, 2)}
    model = Cascade.from_model(Model(parts=parts, settings={"stages": ["base", "ssr"]}))
    whole = model.sample(Request(prompts=["a"], seeds=[3]), progress=False)
    again, other = (refine(model, from_uint8(whole["base"]), seeds=[s])["ssr"] for s in (3, 4))
    # A file stores the base's clip rounded to bytes.
    assert np.abs(again.astype(int) - whole["ssr"]).mean() < 2
    assert np.abs(again.astype(int) - other).mean() > 10


@pytest.mark.parametrize(
    ("mesh", "window"),
    [
        pytest.param(MeshConfig(context=4), 4, id="windows over context"),
        pytest.param(MeshConfig(fsdp=2, context=4), 8, id="height over context"),
    ],
)
def test_on_many_devices_a_clip_is_that_of_one(mesh, window):
    low = np.concatenate([LOW, -LOW, LOW[:, ::-1]])  # three clips do not divide over the devices
    parts = {"ssr": refiner(1, 16, 2, frames=window)}
    one, many = refine(cascade(**parts), low), refine(cascade(make_mesh(mesh), **parts), low)
    assert np.abs(one["ssr"].astype(int) - many["ssr"]).max() <= 1


def test_on_many_devices_every_step_is_reported_once_and_previews_show_all_clips():
    model = cascade(make_mesh(MeshConfig(fsdp=2)), ssr=refiner(1, 16, 2))
    shown, steps = [], []
    stage = model.stages[0]
    stage.progress, stage.preview = steps.append, lambda step, clip: shown.append(clip.shape)
    low = np.repeat(LOW, 3, 0)
    stage.sample(
        jax.random.split(jax.random.key(0), 3),
        None,
        None,
        frames=8,
        low_resolution=low,
        preview_every=1,
    )
    jax.effects_barrier()
    assert sorted(steps) == [1, 2]
    assert shown == [(3, 8, 16, 16, 3)] * 2


def test_a_low_resolution_clip_of_another_size_is_refused(twice):
    low = np.zeros((1, 8, 12, 12, 3), np.float32)
    with pytest.raises(ValueError, match=r"--upscale: .* 12 pixels .* takes 8 .* resize .* to 8"):
        refine(twice, low)


@pytest.mark.parametrize(
    ("settings", "frames", "message"),
    [
        ({"window": 9}, 8, r"--window=9: .* 8 frames only; use --window=8"),
        ({"window": 4, "overlap": 4}, 8, r"--overlap=4 .* use --overlap=3"),
        ({"frames": 4, "overlap": 6}, 8, r"--overlap=6 .* use --overlap=3"),
        ({"tile": 9}, 8, r"--tile=9: .* multiples of 2 .* use --tile=8"),
        ({"tile": 8, "tile_overlap": 8}, 8, r"--tile_overlap=8 .* use --tile_overlap=7"),
        ({"group": 0}, 8, r"group=0 .* use group=1"),
        ({"weights": "flat"}, 8, r"--window_weights='flat' .* try 'ramp'"),
    ],
)
def test_windows_that_do_not_fit_name_the_flag_and_a_value_that_does(settings, frames, message):
    model = cascade(ssr=refiner(1, 16, 2)).with_config({"ssr": settings})
    with pytest.raises(ValueError, match=message):
        refine(model, LOW[:, :frames])


def test_the_suggested_window_is_one_that_the_temporal_factor_divides():
    model = Cascade.from_model(tiny_model(refined=True))
    for window, frames, fitting in ((3, 8, 2), (9, 8, 8), (10, 5, 4)):
        stage = model.with_config({"ssr": {"window": window}}).stages[1]
        with pytest.raises(ValueError, match=rf"--window={window}: .*\b{fitting}\b"):
            stage.plan(frames)
        model.with_config({"ssr": {"window": fitting}}).stages[1].plan(frames)


def test_settings_of_a_stage_that_is_not_there_are_refused(twice):
    with pytest.raises(ValueError, match=r"no stage 'ssr_image'; its stages are ssr, finer"):
        twice.with_config({"ssr_image": {"window": 2}})
