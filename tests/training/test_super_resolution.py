"""Training a super-resolution network: its input, its two stages, and the resulting model."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.models import TemporalConfig
from lumiere_jax.models.ssr import downsample, upsample
from lumiere_jax.parallel import make_mesh
from lumiere_jax.training import initialize
from lumiere_jax.training.config import Experiment, TrainConfig, write_experiment
from lumiere_jax.training.initialize import text_folder
from lumiere_jax.training.loop import train
from lumiere_jax.training.metric_writer import read_lines
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.runs import load_run, run_model
from lumiere_jax.training.super_resolution import SuperResolutionConfig, degrade
from tests.tiny import refiner_options, tiny_experiment, unet

MODEL = refiner_options(patch=2)
CLEAN = np.random.default_rng(0).uniform(-1, 1, (8, 3, 8, 8, 3)).astype(np.float32)


def experiment(stage, temporal=None, train=None, **changes) -> Experiment:
    settings = {"steps": 2, "log_every": 1, "save_every": 2, "ema_decay": 0.9, **(train or {})}
    options = dict(
        name="tiny",
        stage=stage,
        model=unet(**MODEL | {"temporal": temporal}),
        sampler=SamplerConfig(steps=2),
        super_resolution=SuperResolutionConfig(factor=2, sampling_augmentation=0.1),
        data=DataConfig(
            frames=20, size=16, crop=8, batch_size=8, image_frames=temporal is None, examples=16
        ),
        train=TrainConfig(**settings),
    )
    return Experiment(**(options | changes))


def segments() -> DataConfig:
    return DataConfig(frames=20, size=16, crop=8, segment=4, batch_size=8, examples=16)


def given(key=0, diffusion=None, **changes):
    config = SuperResolutionConfig(**({"factor": 2} | changes))
    return degrade(
        jnp.asarray(CLEAN),
        jax.random.key(key),
        config,
        unet(**MODEL),
        diffusion or DiffusionConfig(),
    )


def test_without_noise_the_network_is_given_the_clip_shrunk_by_area_and_interpolated():
    told = given(augmentation=(0.0, 0.0))
    np.testing.assert_array_equal(told["augmentation"], np.zeros(8))
    expected = upsample(downsample(jnp.asarray(CLEAN), 2), 8, 8)
    np.testing.assert_allclose(
        told["low_resolution"], expected, atol=4e-3
    )  # sigma is 6e-4 at time 0


def test_the_noise_on_the_clip_has_the_level_that_the_network_is_told():
    diffusion = DiffusionConfig()
    told = given(augmentation=(0.2, 0.8))
    levels = np.sort(told["augmentation"])
    assert levels[0] >= 0.2
    assert levels[-1] <= 0.8
    assert np.diff(levels) == pytest.approx(np.full(7, 0.6 / 8), abs=1e-5)  # evenly spread
    alpha, sigma = diffusion.levels(told["augmentation"], jnp.asarray(CLEAN))
    small = upsample(downsample(jnp.asarray(CLEAN), 2), 8, 8)
    noise = (told["low_resolution"] - alpha * small) / sigma
    np.testing.assert_allclose(noise.std((1, 2, 3, 4)), 1, atol=0.12)
    np.testing.assert_allclose(noise.mean((1, 2, 3, 4)), 0, atol=0.15)


def test_noise_and_levels_are_a_function_of_the_key():
    first, again, other = given(1), given(1), given(2)
    np.testing.assert_array_equal(first["low_resolution"], again["low_resolution"])
    assert (first["augmentation"] != other["augmentation"]).any()


def test_the_highest_level_leaves_something_of_the_clip():
    assert given(augmentation=(1.0, 1.0))["augmentation"].max() < 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train both stages, one after the other."""
    folder = tmp_path_factory.mktemp("run")
    assert train(experiment("ssr_image", train={"evaluate_every": 2}), folder) is None
    temporal = TemporalConfig(head_dim=8, attention_layers=1, resize=(False,))
    following = experiment("ssr", temporal, {"trainable": "temporal"}, data=segments())
    assert train(following, folder) is None
    return folder


def test_the_second_stage_trains_the_temporal_half_alone(run):
    image, video = (load_run(run / stage).params["unet"] for stage in ("ssr_image", "ssr"))
    np.testing.assert_array_equal(image["conv_in"]["kernel"], video["conv_in"]["kernel"])
    moved = video["down_0_block_0"]["temporal"]["projection"]["kernel"]
    assert np.abs(moved).max() > 0


def test_evaluation_says_how_it_compares_to_interpolation(run):
    lines = [line for line in read_lines(run / "ssr_image" / "metrics.jsonl") if "psnr" in line]
    assert len(lines) == 1
    assert lines[0]["psnr_interpolated"] > lines[0]["psnr"] > 0


def test_the_run_is_a_model_that_refines_clips_of_its_own_factor(run):
    model = run_model(run)
    assert list(model.parts) == ["ssr"]
    settings = model.parts["ssr"].settings
    assert (settings["size"], settings["factor"], settings["frames"]) == (16, 2, 4)
    assert settings["augmentation"] == 0.1
    alone = run_model(run / "ssr_image")
    settings = alone.parts["ssr"].settings
    assert (settings["frames"], settings["overlap"]) == (1, 0)


def test_what_does_not_fit_names_the_flag_and_a_value_that_does():
    with pytest.raises(ValueError, match=r"low_resolution=True needs low-resolution clips"):
        experiment("ssr_image", super_resolution=None)
    with pytest.raises(ValueError, match=r"factor=3 does not divide .* 8 pixels; .*size=9"):
        experiment("ssr_image", super_resolution=SuperResolutionConfig(factor=3))
    plain = dataclasses.replace(unet(**MODEL), low_resolution=False)
    with pytest.raises(ValueError, match=r"set --config\.model\.low_resolution=True"):
        experiment("ssr_image", model=plain)
    with pytest.raises(ValueError, match=r"augmentation=\(0\.5, 0\.2\) must rise"):
        SuperResolutionConfig(augmentation=(0.5, 0.2))
    with pytest.raises(ValueError, match=r"data\.crop=6 is not divisible .*data\.crop=8"):
        experiment("ssr_image", data=DataConfig(size=16, crop=6, image_frames=True))


def test_with_text_it_reads_as_the_image_stage_does_or_says_that_it_is_missing(
    tmp_path, monkeypatch
):
    image = tiny_experiment("image")
    reading = experiment(
        "ssr_image",
        model=unet(**MODEL | {"text_dim": 32, "text_mask": True}),
        text=image.text,
        train={"trainable": "^unet"},
    )
    with pytest.raises(FileNotFoundError, match=r"reads text as the image stage does.*:image"):
        text_folder(reading, tmp_path)
    (tmp_path / "image").mkdir()
    write_experiment(tmp_path / "image" / "config.json", image)
    trained = make_objective(image).init(jax.random.key(9))
    monkeypatch.setattr(
        initialize, "load_params", lambda folder, mesh: {folder.name: trained}["image"]
    )
    source = text_folder(reading, tmp_path)
    params = initialize.start_params(make_objective(reading), make_mesh(), None, source)
    chex.assert_trees_all_equal(params["text"], trained["text"])
    assert params["unet"]["conv_in"]["kernel"].shape[2] == 2 * 3 * 4
