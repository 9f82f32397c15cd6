"""A model folder samples with the settings of the diffusers pipeline that it was made from."""

import dataclasses
import json

import pytest

from lumiere_jax.checkpoints import read_model
from lumiere_jax.checkpoints.scheduler import scheduler_config
from lumiere_jax.convert import Conversion, convert
from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.models import UNetConfig
from lumiere_jax.sampling import StageConfig
from lumiere_jax.structure import from_dict
from tests.diffusion import test_golden_samplers as golden_runs

# IF's own conversion script sets these fields of stage I; the others are diffusers' defaults.
IF = {
    "_class_name": "DDPMScheduler",
    "beta_schedule": "squaredcos_cap_v2",
    "dynamic_thresholding_ratio": 0.95,
    "prediction_type": "epsilon",
    "sample_max_value": 1.5,
    "thresholding": True,
    "variance_type": "learned_range",
}
PLAIN = UNetConfig(channels=(64,), blocks=(1,), attention=(False,))
UNET = dataclasses.replace(PLAIN, out_channels=6)
DIFFUSION = DiffusionConfig()
SAMPLER = SamplerConfig(steps=100, guidance_scale=7.0)


def write(folder, fields, name="scheduler"):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "scheduler_config.json").write_text(json.dumps(fields))


def settings(folder, fields, unet=UNET):
    write(folder, fields)
    return scheduler_config(folder, unet, DIFFUSION, SAMPLER)


def test_without_a_file_the_scheduler_is_if_s(golden, tmp_path):
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    (pipeline / "unet").symlink_to(golden / "if1_unet")
    convert(Conversion(source="diffusers", path=str(pipeline), output=str(tmp_path / "without")))
    write(pipeline, IF)
    convert(Conversion(source="diffusers", path=str(pipeline), output=str(tmp_path / "with")))
    write(pipeline, IF | {"sample_max_value": 1.25, "timestep_spacing": "trailing"})
    unet = str(pipeline / "unet")
    convert(Conversion(source="diffusers", path=unet, output=str(tmp_path / "other")))
    without, with_file, other = (
        from_dict(StageConfig, read_model(tmp_path / name).parts["base"].settings)
        for name in ("without", "with", "other")
    )
    assert with_file == without
    assert with_file.sampler.guidance_scale == 7.0
    assert (other.sampler.ceiling, other.sampler.spacing) == (1.25, "trailing")
    assert other.diffusion == without.diffusion


@pytest.mark.parametrize(
    "name", [n for n, run in golden_runs.RUNS.items() if run["scheduler"] == "DDPMScheduler"]
)
def test_it_samples_like_the_runs_of_diffusers_in_the_golden_files(tmp_path, name):
    run = golden_runs.RUNS[name]
    unet = UNET if run["learned_range"] else PLAIN
    diffusion, sampler = settings(tmp_path, run["config"], unet)
    expected_diffusion, expected = golden_runs.ours(run)
    assert diffusion == expected_diffusion
    for field in ("sampler", "variance", "threshold"):
        assert getattr(sampler, field) == getattr(expected, field)
    if sampler.threshold == "dynamic":
        assert (sampler.quantile, sampler.ceiling) == (expected.quantile, expected.ceiling)
    assert sampler.spacing == run["config"]["timestep_spacing"]
    assert (sampler.steps, sampler.guidance_scale) == (100, 7.0)


def test_fields_left_out_have_diffusers_defaults(tmp_path):
    diffusion, sampler = settings(tmp_path, {}, PLAIN)
    assert (diffusion.schedule, diffusion.prediction) == ("discrete_linear", "noise")
    assert (sampler.variance, sampler.threshold, sampler.spacing) == ("small", "static", "leading")


def test_a_variance_that_the_scheduler_ignores_is_not_used(tmp_path):
    diffusion, sampler = settings(tmp_path, IF | {"variance_type": "fixed_large"})
    assert (diffusion.learned_variance, sampler.variance) == (True, "large")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"_class_name": "HeunDiscreteScheduler"},
            "_class_name is 'Heun.*expected 'DDPMScheduler'",
        ),
        ({"num_train_timesteps": 4000}, "num_train_timesteps is 4000, expected 1000"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid', expected 'squaredcos_cap_v2'"),
        ({"beta_schedule": "linear", "beta_end": 0.03}, "beta_end is 0.03, expected 0.02"),
        ({"beta_schedule": "scaled_linear"}, "beta_start is 0.0001, expected 0.00085"),
        ({"trained_betas": [0.1]}, r"trained_betas is \[0.1\], expected None"),
        ({"variance_type": "learned"}, "variance_type is 'learned', expected 'fixed_small'"),
        ({"variance_type": "fixed_large_log"}, "variance_type is 'fixed_large_log'"),
        ({"prediction_type": "flow"}, "prediction_type is 'flow', expected 'epsilon'"),
        ({"timestep_spacing": "log"}, "timestep_spacing is 'log', expected 'leading'"),
        ({"steps_offset": 1}, "steps_offset is 1, expected 0"),
        ({"thresholding": False, "clip_sample_range": 2.0}, "clip_sample_range is 2.0, expected 1"),
        (
            {"dynamic_thresholding_ratio": 1.5},
            r"dynamic_thresholding_ratio=1.5 lies outside \[0, 1\]",
        ),
        ({"sample_max_value": 0.5}, r"sample_max_value=0.5 lies outside \[1, 1000\]"),
        ({"sample_max_value": float("nan")}, "NaN"),
        ({"sample_max_value": "2"}, "sample_max_value='2' is not a number"),
        ({"thresholding": "no"}, "thresholding is 'no', expected true or false"),
        ({"beta_schedule": ["linear"]}, r"beta_schedule is \['linear'\], expected"),
        ({"rescale_betas_zero_snr": True}, "zero_terminal_snr=True needs prediction='velocity'"),
    ],
)
def test_what_our_samplers_do_not_compute_is_refused_by_field(tmp_path, fields, message):
    with pytest.raises(ValueError, match=rf"scheduler_config\.json.*{message}"):
        settings(tmp_path, IF | fields)


def test_a_learned_variance_needs_the_channels_for_it(tmp_path):
    with pytest.raises(ValueError, match=r"variance_type is 'learned_range'.* 3 output channels"):
        settings(tmp_path, IF, PLAIN)


def test_the_noise_of_the_low_resolution_image_must_have_the_same_schedule(tmp_path):
    write(tmp_path, {"beta_schedule": "squaredcos_cap_v2"}, "image_noising_scheduler")
    assert settings(tmp_path, IF)[0].schedule == "discrete_cosine"
    write(tmp_path, {}, "image_noising_scheduler")
    message = r"image_noising_scheduler.*: beta_schedule is 'linear', expected 'squaredcos_cap_v2'"
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, IF)


def test_a_file_that_is_not_a_configuration_is_named(tmp_path):
    write(tmp_path, [1])
    with pytest.raises(ValueError, match=r"config\.json holds an array, expected an object"):
        scheduler_config(tmp_path, UNET, DIFFUSION, SAMPLER)
