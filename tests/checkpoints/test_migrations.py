"""Files of earlier versions keep their meaning; unsupported values are refused by name."""

import dataclasses
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.checkpoints import describe_model, migrations, read_model, write_model
from lumiere_jax.checkpoints.migrations import (
    Step,
    current_version,
    drop_key,
    find_sections,
    migrate_experiment,
    migrate_model,
)
from lumiere_jax.checkpoints.safetensors_file import SafetensorsFile
from lumiere_jax.checkpoints.tree import flatten
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.loss import loss_weight
from lumiere_jax.parallel import MeshConfig
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.structure import from_dict, to_dict

DEMO = pathlib.Path(__file__).parents[2] / "data/demo"
# Parts of the files that version 1 wrote.
DIFFUSION = {
    "schedule": "cosine",
    "shift": 1.0,
    "time_shift": 0.25,
    "prediction": "clean",
    "weighting": "min_snr",
    "min_snr_gamma": 1.0,
    "snr_floor": 0.05,
}
TEXT = {"vocabulary_size": 384, "width": 8, "feed_forward": 16, "heads": 2, "layers": 1}
IMAGE = {"channels": [8], "blocks": [1], "attention": [False], "head_dim": 8, "groups": 4}


def model_json(**diffusion):
    """Return a `model.json` of version 1 whose U-Net has these diffusion settings."""
    settings = {"diffusion": DIFFUSION | diffusion, "sampler": {"steps": 2}, "frames": 1, "size": 8}
    networks = {
        "text": {"type": "T5Config", "config": TEXT, "settings": {"tokenizer": "bytes"}},
        "base": {"type": "UNetConfig", "config": IMAGE, "settings": settings},
    }
    return {"format": "lumiere_jax", "version": 1, "networks": networks, "settings": {"name": "x"}}


def put(folder, content):
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def test_a_model_of_version_1_is_described_as_it_was(tmp_path):
    content = model_json()
    model = describe_model(put(tmp_path / "m", content))
    assert {name: part.settings for name, part in model.parts.items()} == {
        name: entry["settings"] for name, entry in content["networks"].items()
    }
    assert model.settings == {"name": "x"}
    assert from_dict(StageConfig, model.parts["base"].settings).diffusion.snr_floor == 0.05


def test_the_shipped_model_is_read_with_its_parameters_and_settings():
    written = json.loads((DEMO / "model.json").read_text())
    model = read_model(DEMO, only=["text", "ssr"])
    for name, part in model.parts.items():
        entry = written["networks"][name]
        assert to_dict(part.config) == entry["config"]
        tokenizer = {"tokenizer": str(DEMO / "spiece.model")} if name == "text" else {}
        assert part.settings == entry["settings"] | tokenizer
        file = SafetensorsFile(DEMO / f"{name}.safetensors")
        params = flatten(part.params)
        assert params.keys() == file.tensors.keys()
        for path, leaf in params.items():
            np.testing.assert_array_equal(leaf, file.read(path))
    assert model.settings == written["settings"]


def test_a_model_is_written_in_the_current_version_and_read_unchanged(tmp_path):
    model = read_model(DEMO, only=["text"])
    model = dataclasses.replace(model, settings={})
    write_model(tmp_path / "m", model)
    written = json.loads((tmp_path / "m" / "model.json").read_text())
    assert written["version"] == current_version()
    assert migrate_model(written) == written


@pytest.mark.parametrize("prediction", ["velocity", "clean"])
def test_velocity_weighting_becomes_min_snr_with_a_floor_of_one(prediction):
    old = DIFFUSION | {"weighting": "velocity", "snr_floor": 0.0, "prediction": prediction}
    migrated = migrate_model(model_json(**old))["networks"]["base"]["settings"]["diffusion"]
    assert migrated == old | {"weighting": "min_snr", "snr_floor": 1.0}
    run = {"name": "x", "diffusion": old, "model": IMAGE}
    assert migrate_experiment(run) == run | {"diffusion": migrated}
    assert run["diffusion"] == old
    config = from_dict(DiffusionConfig, migrated)
    time = jnp.linspace(0.01, 0.99, 20)
    sigma = config.alpha_sigma(time)[1]
    # Squared error of the velocity, in units of that of the prediction.
    velocity = {"velocity": 1.0, "clean": 1 / sigma**2}[prediction]
    cut = np.minimum(1, config.min_snr_gamma * sigma**2)
    np.testing.assert_allclose(loss_weight(time, config), velocity * cut, rtol=1e-5)


def test_velocity_weighting_of_noise_is_refused_as_it_was():
    with pytest.raises(ValueError, match=r"m\.json: diffusion: weighting='velocity' needs"):
        migrate_model(model_json(weighting="velocity", prediction="noise"), "m.json")


def _drop_bias(content, where):
    """Drop the imaginary key `bias` of every diffusion section."""
    for diffusion, place in find_sections(content, "diffusion", where):
        drop_key(diffusion, "bias", (0, None), place)


def test_a_dropped_key_is_read_where_it_changes_nothing_and_refused_elsewhere(monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, Step(3, _drop_bias)))
    assert migrate_model(model_json(bias=0)) == model_json() | {"version": 3}
    assert migrate_experiment({"diffusion": {"bias": None}}) == {"diffusion": {}}
    with pytest.raises(ValueError, match=r"m\.json: diffusion: bias=0\.5 is not supported"):
        migrate_model(model_json(bias=0.5), "m.json")
    with pytest.raises(ValueError, match=r"c\.json: diffusion: bias=0\.5 is not supported"):
        migrate_experiment({"diffusion": {"bias": 0.5}}, "c.json")
    kept = model_json(bias=0.5) | {"version": 3}  # a later key may have the same name
    assert migrate_model(kept) == kept


@pytest.mark.parametrize("migrate", [migrate_model, migrate_experiment])
def test_a_newer_file_is_refused_with_advice_to_update(migrate):
    newer = {"format": "lumiere_jax", "version": current_version() + 1}
    with pytest.raises(ValueError, match=r"x\.json has version \d+, .*: update lumiere_jax"):
        migrate(newer, "x.json")


@pytest.mark.parametrize("version", [0, True, "1", 1.0, None, [1]])
def test_what_is_not_a_version_is_named(version):
    with pytest.raises(ValueError, match=r"x\.json: version is .*, expected 1 to \d+"):
        migrate_model({"format": "lumiere_jax", "version": version}, "x.json")


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        ({"replica": -1, "fsdp": 4, "context": 2, "tensor": 1}, {"fsdp": 4, "context": 2}),
        ({"replica": 2, "fsdp": 2, "context": 1, "tensor": 2}, {}),
        ({"fsdp": 8}, {"fsdp": 8}),
    ],
)
def test_the_mesh_axis_that_divided_nothing_is_dropped(mesh, expected):
    found = migrate_experiment({"version": 2, "mesh": mesh})["mesh"]
    assert from_dict(MeshConfig, found) == MeshConfig(**expected)
