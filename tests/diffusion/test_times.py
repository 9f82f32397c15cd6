import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lumiere_jax.diffusion import CLEAN, DiffusionConfig, SamplerConfig
from lumiere_jax.diffusion.times import (
    SECTIONS,
    SPACINGS,
    from_strength,
    shift_times,
    spaced_times,
    with_jumps,
)


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


def test_shifted_times_are_where_a_shifted_schedule_has_the_same_noise():
    times = np.array([0.05, 0.3, 0.5, 0.8, 0.95])
    ends = {"lowest_log_snr": -30, "highest_log_snr": 30}
    told = DiffusionConfig(**ends).log_snr(shift_times(times, 0.25))
    moved = DiffusionConfig(**ends, shift=0.25).log_snr(times)
    np.testing.assert_allclose(told, moved, atol=1e-4)


def test_shifted_times_keep_their_ends_and_their_order():
    times = SamplerConfig(steps=20, time_shift=1 / 3).times()
    assert (times[0], times[-1]) == (0.999, CLEAN)
    assert len(times) == 21
    assert (np.diff(times) < 0).all()
    np.testing.assert_array_equal(SamplerConfig(steps=20, time_shift=1).times()[:2], [0.999, 0.949])


def test_many_shifted_times_on_the_grid_stay_distinct():
    times = SamplerConfig(steps=1000, time_shift=1 / 8).times()
    assert (np.diff(times) < 0).all()


@given(
    steps=st.integers(2, 1000),
    spacing=st.sampled_from([*SPACINGS, "fast27", "super100"]),
    strength=st.floats(1e-9, 1, exclude_min=True),
    time_shift=st.sampled_from([1.0, 0.25]),
    jumps=st.sampled_from([(0, 1), (3, 2)]),
)
def test_all_steps_are_spread_below_any_strength(steps, spacing, strength, time_shift, jumps):
    length, repeats = jumps
    config = SamplerConfig(
        steps=steps,
        spacing=spacing,
        time_shift=time_shift,
        jump_length=length,
        jump_repeats=repeats,
    )
    whole = config.times()
    times = from_strength(whole, strength)
    assert len(times) == len(whole)
    assert (np.sign(np.diff(times)) == np.sign(np.diff(whole))).all()
    assert times[0] <= strength
    assert times[0] == pytest.approx(0.999 * strength, abs=0.0005)
    assert times[-1] == CLEAN


@pytest.mark.parametrize("strength", [1e-9, 0.004, 0.3, 0.6, 1.0])
def test_one_step_is_enough_at_any_strength(strength):
    times = from_strength(SamplerConfig(steps=1).times(), strength)
    assert times == pytest.approx([0.999 * strength, CLEAN], abs=0.0005)


def test_times_below_a_strength_stay_on_the_grid_that_imported_weights_were_trained_on():
    times = from_strength(SamplerConfig(steps=20).times(), 0.6) * 1000
    np.testing.assert_allclose(times, np.rint(times), atol=1e-9)


def test_full_strength_leaves_trailing_times_as_they_are():
    whole = SamplerConfig(steps=20).times()
    np.testing.assert_allclose(from_strength(whole, 1.0), whole, rtol=1e-12)


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_one_step_that_would_start_without_noise_is_refused(spacing):
    with pytest.raises(ValueError, match=f"steps=1 with spacing='{spacing}'.*'trailing'"):
        SamplerConfig(steps=1, spacing=spacing)


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


def test_the_noise_of_ddim_is_refused_by_a_sampler_that_would_not_heed_it():
    assert SamplerConfig(sampler="ddim", eta=0.5).stochastic
    with pytest.raises(ValueError, match=r"eta=0.5 .* sampler='ddim', or eta=0"):
        SamplerConfig(sampler="dpm_solver", eta=0.5)
