import numpy as np
import pytest

from lumiere_jax.diffusion import CLEAN, SamplerConfig
from lumiere_jax.diffusion.times import SECTIONS, from_strength, spaced_times, with_jumps


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [10, 25, 27, 50, 100, 256])
def test_spacings_visit_the_timesteps_of_diffusers(golden, spacing, steps):
    table = np.load(golden / "schedulers/tables.npz")
    times = spaced_times(spacing, steps)
    np.testing.assert_array_equal(np.rint(times[:-1] * 1000), table[f"timesteps/{spacing}/{steps}"])
    assert times[-1] == CLEAN


@pytest.mark.parametrize("name", SECTIONS)
def test_respaced_lists_are_those_of_deepfloyd(golden, name):
    kept = np.load(golden / "if_original/sampler.npz")[f"respacing/{name}"]
    np.testing.assert_array_equal(np.rint(spaced_times(name, 50)[:-1] * 1000), kept[::-1])


def test_strength_keeps_the_times_at_or_below_it():
    times = np.array([0.9, 0.6, 0.3, CLEAN])
    np.testing.assert_array_equal(from_strength(times, 1.0), times)
    np.testing.assert_array_equal(from_strength(times, 0.6), times[1:])
    np.testing.assert_array_equal(from_strength(times, 0.1), [CLEAN])


@pytest.mark.parametrize(("strength", "fix"), [(0.0, "0.1"), (1.5, "1.0"), (-1, "0.1")])
def test_strength_outside_its_range_names_the_flag_and_a_value(strength, fix):
    with pytest.raises(ValueError, match=f"--strength={strength}.*use --strength={fix}"):
        from_strength(np.array([0.9, CLEAN]), strength)


def test_jumps_walk_every_stretch_again():
    times = np.array([0.8, 0.6, 0.4, 0.2, CLEAN])
    walked = [0.8, 0.6, 0.4, 0.8, 0.6, 0.4, 0.2, CLEAN, 0.4, 0.2, CLEAN]
    np.testing.assert_array_equal(with_jumps(times, 2, 2), walked)
    np.testing.assert_array_equal(with_jumps(times, 2, 1), times)
    np.testing.assert_array_equal(with_jumps(times, 0, 5), times)


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("sampler", "dpm_solver++", "try 'dpm_solver'"),
        ("spacing", "trailling", "try 'trailing'"),
        ("steps", 0, "try 1"),
        ("steps", 1001, "try 1000"),
        ("eta", 1.5, "try 1"),
        ("ceiling", 0.5, "try 1"),
        ("guidance_interval", (0.8, 0.2), r"use \(0.0, 1.0\)"),
    ],
)
def test_a_wrong_setting_names_its_field_and_the_nearest_value(field, value, hint):
    with pytest.raises(ValueError, match=rf"{field}=.*{hint}"):
        SamplerConfig(**{field: value})
