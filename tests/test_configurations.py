"""The configurations are whole experiments; the large ones are only ever counted."""

import ast
import dataclasses
import functools
import pathlib
import re

import pytest

from benchmarks.sizes import sizes
from lumiere_jax.checkpoints.unet_config import config_from_diffusers
from lumiere_jax.models import network
from lumiere_jax.training.command_line import load_config, to_experiment
from lumiere_jax.training.stages import STAGES
from tests.checkpoints.test_unet_weights import STAGE_ONE, STAGE_TWO, ShapesOnly

IF_SIZES = {"m": list(STAGES), "l": list(STAGES), "xl": ["image", "base", "conditional", "style"]}
ONE_GPU = ["image", "base", "conditional", "style"]
NAMES = {
    "lumiere": list(STAGES),
    "demo": list(STAGES),
    "bench": ["image", "base"],
    "one_gpu": [f"{size}_{stage}" for size in ("64", "128") for stage in ONE_GPU],
    "deepfloyd_if": [f"{size}_{stage}" for size, stages in IF_SIZES.items() for stage in stages],
}
EVERY = [f"{file}:{name}" for file, names in NAMES.items() for name in names]
ROW = re.compile(
    r"^    (\w+) +([\d.]+) M +(?:([\d.]+) M|-) +([\d.]+) +TFLOP of +(\d+)×(\d+)×\d+ +"
    r"([\d.]+) +GiB$",
    re.MULTILINE,
)


@functools.cache
def experiment(name):
    file, _, stage = name.partition(":")
    return to_experiment(load_config(f"configs/{file}.py:{stage}"))


@pytest.mark.parametrize("name", EVERY)
def test_a_configuration_is_an_experiment_of_its_stage(name):
    found, stage = experiment(name), STAGES[re.sub(r"^.*:(m_|l_|xl_|64_|128_)?", "", name)]
    assert found.stage == stage.name
    assert (found.model.temporal is not None) == stage.video
    assert (found.super_resolution is not None) == (stage.role == "ssr")
    assert found.model.observed == (stage.name == "conditional") == (found.data.masks is not None)
    assert not found.train.low_rank or name == "demo:style"


@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith("demo")])
def test_a_stage_trains_what_the_table_says(name):
    stage = STAGES[re.sub(r"^.*:(m_|l_|xl_|64_|128_)?", "", name)]
    assert experiment(name).train.trainable == stage.trainable


@pytest.mark.parametrize("file", ["lumiere", "bench", "demo"])
def test_a_stage_that_is_not_there_is_named_with_those_that_are(file):
    with pytest.raises(ValueError, match=rf"configs/{file}\.py has no stage 'big'; one of image"):
        load_config(f"configs/{file}.py:big")


def test_a_size_that_if_does_not_have_is_named():
    with pytest.raises(ValueError, match="no 's_base': take m, l, xl"):
        load_config("configs/deepfloyd_if.py:s_base")
    with pytest.raises(ValueError, match="IF-II has no size 'xl'; use l_ssr"):
        load_config("configs/deepfloyd_if.py:xl_ssr")


def test_one_gpu_names_the_sizes_and_stages_that_it_has():
    with pytest.raises(ValueError, match="no '32_base': take 64, 128 and a stage, as in 64_base"):
        load_config("configs/one_gpu.py:32_base")
    with pytest.raises(ValueError, match="no stage 'ssr'; one of image, base, conditional, style"):
        load_config("configs/one_gpu.py:64_ssr")


def test_the_hours_of_one_gpu_are_those_of_its_steps():
    """Repeat the docstring's estimate."""
    text = ast.get_docstring(ast.parse(pathlib.Path("configs/one_gpu.py").read_text()))
    for size in ("64", "128"):
        stated = re.search(rf"^ +{size} +(\d+) +(\d+) +(\d+)$", text, re.MULTILINE).groups()
        for stage, hours in zip(ONE_GPU, stated):
            found = experiment(f"one_gpu:{size}_{stage}")
            forward = float(rows("one_gpu")[f"{size}_{'image' if stage == 'image' else 'base'}"][2])
            passes = 3 if stage == "image" else 3.25
            total = found.train.steps * found.data.batch_size * forward * passes
            assert total / 60 / 3600 == pytest.approx(float(hours), abs=0.6)


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


SIZES = {}


def count(name):
    """Return the sizes of a configuration; stages with the same network and clips share them."""
    found = experiment(name)
    key = (found.model, found.data.clip_frames, found.data.size, found.data.text_length)
    if key not in SIZES:
        SIZES[key] = sizes(found)
    return SIZES[key]


def rows(file):
    """Return the rows of sizes in a configuration's docstring: name -> numbers."""
    text = ast.get_docstring(ast.parse(pathlib.Path(f"configs/{file}.py").read_text()), clean=False)
    return {row[0]: row[1:] for row in ROW.findall(text)}


def test_every_preset_has_a_row_of_sizes():
    assert set(rows("lumiere")) == set(STAGES)
    counted = {"l_conditional", "l_style", "xl_conditional", "xl_style"}  # as m's, says the text
    assert set(rows("deepfloyd_if")) == set(NAMES["deepfloyd_if"]) - counted


@pytest.mark.parametrize(
    "name", ["demo:base", "demo:ssr", "deepfloyd_if:l_conditional", "deepfloyd_if:xl_conditional"]
)
def test_the_shapes_of_a_preset_without_a_row_are_evaluated(name):
    assert network(experiment(name).model).shapes()["conv_in"]


@pytest.mark.parametrize(
    "name",
    [f"{file}:{name}" for file in ("lumiere", "one_gpu", "deepfloyd_if") for name in rows(file)],
)
def test_the_sizes_that_the_docstrings_state(name):
    file, _, stage = name.partition(":")
    spatial, temporal, flops, frames, side, gigabytes = rows(file)[stage]
    found = count(name)
    expected = [float(spatial), float(temporal or 0), float(flops), float(gigabytes)]
    assert list(found.values()) == pytest.approx(expected, rel=6e-3)
    assert next(iter(found.values())) == pytest.approx(float(spatial), abs=0.06)
    assert f"forward pass of {frames}×{side}×{side}, TFLOP" in found


def test_the_size_of_the_benchmark():
    found = list(sizes(experiment("bench:base")).values())[:3]
    assert found == pytest.approx((421.8, 134.3, 68.97), rel=2e-3)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("m_image", "I-192"),
        ("l_image", "I-320"),
        ("xl_image", "I-704"),
        ("l_ssr_image", "II-L"),
    ],
)
def test_the_published_if_models_are_read_into_these_configurations(golden, name, shapes):
    model = experiment(f"deepfloyd_if:{name}").model
    source = ShapesOnly(golden / "if_shapes" / f"{shapes}.json")
    fields = STAGE_TWO if model.low_resolution else {}
    read = config_from_diffusers(STAGE_ONE | fields, source)
    neutral = {"middle_residual_scale": model.residual_scale}
    assert dataclasses.replace(model, **neutral) == read


@pytest.mark.parametrize(("image", "video"), [("image", "base"), ("ssr_image", "ssr")])
def test_an_image_stage_is_the_spatial_half_of_the_video_stage(image, video):
    for file, size in (("lumiere", ""), ("demo", ""), ("deepfloyd_if", "l_")):
        names = (f"{file}:{size}{stage}" for stage in (image, video))
        image_model, model = (experiment(name).model for name in names)
        assert dataclasses.replace(model, temporal=None) == image_model
