"""The configurations are whole experiments; the large ones are only ever counted."""

import dataclasses

import pytest

from benchmarks.sizes import sizes
from lumiere_jax.training.command_line import load_config, to_experiment

STAGES = [
    f"{name}:{stage}"
    for name, stages in {
        "lumiere": ("image", "base", "ssr_image", "ssr"),
        "bench": ("image", "base"),
        "demo": ("ssr_image", "ssr"),
    }.items()
    for stage in stages
]


def experiment(name):
    file, stage = name.split(":")
    return to_experiment(load_config(f"configs/{file}.py:{stage}"))


@pytest.mark.parametrize("name", STAGES)
def test_a_configuration_is_an_experiment_of_its_stage(name):
    assert experiment(name).stage == name.split(":")[1]


@pytest.mark.parametrize("file", ["lumiere", "bench", "demo"])
def test_a_stage_that_is_not_there_is_named_with_those_that_are(file):
    with pytest.raises(ValueError, match=rf"configs/{file}\.py has no stage 'big'; one of image"):
        load_config(f"configs/{file}.py:big")


def test_the_paper_s_geometry():
    base, ssr = experiment("lumiere:base"), experiment("lumiere:ssr")
    assert (base.data.frames, base.data.size, base.frame_rate) == (80, 128, 16)
    assert base.model.temporal_factor == 8  # 80, 40, 20, 10 frames
    assert [c // base.model.channels[0] for c in base.model.channels] == [1, 2, 3, 4]
    assert (ssr.data.size, ssr.super_resolution.factor, ssr.super_resolution.overlap) == (
        1024,
        8,
        2,
    )
    assert ssr.data.size // ssr.super_resolution.factor == base.data.size


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lumiere:image", (2186.8, 0, 5.72)),
        ("lumiere:ssr_image", (849.7, 0, 6.55)),
        ("bench:base", (421.8, 134.3, 68.97)),
    ],
)
def test_the_sizes_that_the_docstrings_state(name, expected):
    assert list(sizes(experiment(name)).values())[:3] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("image", "video"), [("image", "base"), ("ssr_image", "ssr")])
def test_an_image_stage_is_the_spatial_half_of_the_video_stage(image, video):
    for file in ("lumiere", "demo"):
        image_model, model = (experiment(f"{file}:{stage}").model for stage in (image, video))
        assert dataclasses.replace(model, temporal=None) == image_model
