"""A training run becomes a model folder: averaged parameters, the same clips, and its style."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from lumiere_jax.checkpoints import Model, read_model
from lumiere_jax.checkpoints.safetensors_file import SafetensorsFile
from lumiere_jax.checkpoints.style import add_factors
from lumiere_jax.convert import Conversion, convert
from lumiere_jax.diffusion import SamplerConfig
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.loaded_model import load_style
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.training.loop import train
from lumiere_jax.training.runs import load_run, run_model, run_style
from lumiere_jax.training.super_resolution import SuperResolutionConfig
from tests.tiny import tiny_experiment, untrained

QUICK = {"steps": 2, "save_every": 2}


def rounded(tree):
    """Round to bfloat16, in float32."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16).astype(jnp.float32), tree)


def same(first, second):
    chex.assert_trees_all_equal(first, second)


def super_resolution():
    """Return the experiment of a ×2 super-resolution without text."""
    image = tiny_experiment("image", **QUICK)
    model = dataclasses.replace(
        image.model, text_dim=None, text_mask=False, low_resolution=True, augmentation=True
    )
    return dataclasses.replace(
        image,
        stage="ssr_image",
        model=model,
        text=None,
        super_resolution=SuperResolutionConfig(factor=2),
        data=DataConfig(frames=4, size=16, image_frames=True, batch_size=8, examples=16),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a base, its super-resolution and a low-rank style; return the run's folder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    image = tiny_experiment("image", **QUICK)
    start = str(untrained(folder.parent / "image", image))
    base = tiny_experiment("base", **QUICK, start_from=start)
    base = dataclasses.replace(base, sampler=SamplerConfig(steps=2, guidance_scale=2.0))
    pictures = folder.parent / "pictures"
    pictures.mkdir()
    Image.new("RGB", (12, 12), (200, 30, 30)).save(pictures / "a.png")
    (pictures / "caption.txt").write_text("flat colour\n")
    options = {"low_rank": 2, "trainable": "^low_rank/", "start_from": start}
    style = tiny_experiment("image", **QUICK, **options)
    data = dataclasses.replace(style.data, source=f"images:{pictures}")
    for experiment in (
        base,
        super_resolution(),
        dataclasses.replace(style, stage="style", data=data),
    ):
        train(experiment, folder)
    return folder


@pytest.fixture(scope="module")
def half(run, tmp_path_factory):
    """Convert the run to a model folder in bfloat16."""
    output = tmp_path_factory.mktemp("models") / "half"
    convert(Conversion(source="run", path=str(run), output=str(output), dtype="bfloat16"))
    return output


def test_the_folder_holds_the_averaged_weights_and_how_they_are_sampled(run, tmp_path):
    convert(Conversion(source="run", path=str(run), output=str(tmp_path / "model")))
    model, trained = read_model(tmp_path / "model"), run_model(run)
    assert list(model.parts) == ["text", "base", "ssr"]
    for name, part in model.parts.items():
        same(part.params, trained.parts[name].params)
        assert part.settings == trained.parts[name].settings
    same(model.parts["base"].params, load_run(run / "base").params["unet"])
    same(model.parts["ssr"].params, load_run(run / "ssr_image").params["unet"])
    assert model.settings["trained"] == {"base": {"steps": 2}, "ssr": {"steps": 2}}


def test_bfloat16_halves_the_bytes_and_comes_back_as_the_rounded_numbers(run, half):
    trained = run_model(run)
    for name, part in read_model(half).parts.items():
        tensors = SafetensorsFile(half / f"{name}.safetensors").tensors
        assert {info.dtype.name for info in tensors.values()} == {"bfloat16"}
        same(rounded(part.params), rounded(trained.parts[name].params))


def test_clips_of_the_folder_are_those_of_the_rounded_run_and_near_the_run_itself(run, half):
    trained = run_model(run)
    parts = {
        name: dataclasses.replace(part, params=rounded(part.params))
        for name, part in trained.parts.items()
    }
    models = (
        Lumiere.load(half),
        Lumiere(Model(parts=parts, settings=trained.settings)),
        Lumiere.load(run),
    )
    found, exact, full = (
        model.text_to_video("a red circle", progress=False).video.astype(int) for model in models
    )
    assert found.shape == (4, 16, 16, 3)
    assert np.abs(found - exact).max() <= 1  # float32 arithmetic, in another order perhaps
    assert np.abs(found - full).mean() < 2
    assert found.std() > 10


def test_the_style_goes_with_the_run_and_is_found_in_the_model_folder(run, half):
    learnt, written = run_style(run / "style"), load_style(half)
    assert written.settings == learnt.settings
    same(rounded(written.factors), rounded(learnt.factors))
    described = json.loads((half / "style" / "style.json").read_text())
    assert (described["kind"], described["settings"]["rank"]) == ("factors", 2)
    base = read_model(half).parts["base"].params
    name = "down_1_block_0"
    styled = add_factors({name: rounded(base[name])}, {name: written.factors[name]})
    expected = add_factors({name: rounded(base[name])}, {name: rounded(learnt.factors[name])})
    chex.assert_trees_all_close(styled, expected, rtol=1e-6, atol=1e-7)
    plain, moved = Lumiere.load(half).stylize("a", half, alpha=(0, 1), progress=False)
    assert (plain.video != moved.video).any()


def test_a_model_folder_converted_again_keeps_its_style(half, tmp_path):
    convert(Conversion(path=str(half), output=str(tmp_path / "again"), dtype="float32"))
    same(load_style(tmp_path / "again").factors, rounded(load_style(half).factors))


def test_a_style_alone_becomes_a_folder(run, tmp_path):
    for number, path in enumerate((run / "style", run)):
        output = tmp_path / str(number)
        convert(Conversion(source="style", path=str(path), output=str(output)))
        same(load_style(output).factors, run_style(run / "style").factors)


def test_what_is_no_run_and_no_style_is_named(run, half, tmp_path):
    def refused(kind, message, source, path, output=tmp_path / "new", **options):
        with pytest.raises(kind, match=message):
            convert(Conversion(source=source, path=str(path), output=str(output), **options))

    missing = r"--path=.* is not a training run: .*--workdir"
    refused(FileNotFoundError, missing, "run", half)
    refused(FileNotFoundError, missing, "run", tmp_path / "nothing")
    refused(ValueError, "is a style, .*--from=style", "run", run / "style")
    refused(ValueError, "is the stage 'base', not a style", "style", run / "base")
    refused(FileNotFoundError, r"--path=.*neither a style nor", "style", tmp_path)
    refused(ValueError, "--inflate is for networks", "style", run, inflate=True)
    refused(ValueError, "--to=t5x is for networks", "style", run, target="t5x")
    assert not (tmp_path / "new").exists()
    before = (half / "model.json").read_bytes()
    refused(FileExistsError, "--output=.* is not empty", "run", run, output=half)
    assert (half / "model.json").read_bytes() == before
