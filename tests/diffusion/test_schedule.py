import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.diffusion import CLEAN, DiffusionConfig

TABLES = {
    "discrete_cosine": "squaredcos_cap_v2",
    "discrete_linear": "linear",
    "discrete_scaled_linear": "scaled_linear",
}
CONTINUOUS = [
    {"schedule": "cosine"},
    {"schedule": "cosine", "shift": 0.25},
    {"schedule": "linear"},
    {"schedule": "cosine", "zero_terminal_snr": True},
]


@pytest.mark.parametrize("schedule", TABLES)
@pytest.mark.parametrize("zero", [False, True])
def test_tables_are_those_of_diffusers(golden, schedule, zero):
    table = np.load(golden / "schedulers/tables.npz")
    config = DiffusionConfig(schedule=schedule, zero_terminal_snr=zero)
    alpha, sigma = config.alpha_sigma(np.arange(1000) / 1000)
    expected = table[TABLES[schedule] + "/alphas_cumprod" + "_zero_snr" * zero]
    np.testing.assert_allclose(alpha**2, expected, atol=1e-6)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, atol=1e-14)


def test_ifs_table_at_timestep_k_is_the_cosine_at_k_plus_one():
    config = DiffusionConfig(schedule="discrete_cosine")
    product = np.cos((np.arange(1, 1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    product /= np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    alpha, _ = config.alpha_sigma(np.arange(999) / 1000)
    np.testing.assert_allclose(alpha**2, product[:999], rtol=1e-6)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_timesteps_come_back_by_rounding(precision):
    config = DiffusionConfig(schedule="discrete_cosine")
    exact, _ = config.alpha_sigma(np.arange(1000) / 1000)
    times = jnp.asarray((np.arange(1000) / 1000).astype(precision))
    np.testing.assert_allclose(config.alpha_sigma(times)[0], exact, rtol=1e-6)
    assert len(np.unique(exact)) == 1000


@pytest.mark.parametrize("settings", CONTINUOUS)
def test_float32_keeps_its_digits_at_both_ends(settings):
    config = DiffusionConfig(**settings)
    time = np.linspace(0, 1, 4001, dtype=np.float32)[:-1]
    exact = config.alpha_sigma(time.astype(np.float64))
    for ours, wanted in zip(config.alpha_sigma(jnp.asarray(time)), exact):
        np.testing.assert_allclose(ours, wanted, rtol=2e-6)


def test_cosine_is_the_cosine_between_its_ends():
    alpha, sigma = DiffusionConfig().alpha_sigma(np.array([0.25, 0.5, 0.75]))
    angle = np.pi / 2 * np.array([0.25, 0.5, 0.75])
    np.testing.assert_allclose(alpha, np.cos(angle), atol=3e-4)
    np.testing.assert_allclose(sigma, np.sin(angle), atol=3e-4)
    assert DiffusionConfig().log_snr(0.0) == pytest.approx(15)
    assert DiffusionConfig().log_snr(1.0) == pytest.approx(-15)


def test_the_shift_moves_log_snr_by_twice_its_logarithm():
    time = np.linspace(0, 1, 11)
    moved = DiffusionConfig(shift=0.25).log_snr(time) - DiffusionConfig().log_snr(time)
    np.testing.assert_allclose(moved, 2 * np.log(0.25), rtol=1e-9)


def test_linear_is_a_line_in_log_snr():
    line = DiffusionConfig(schedule="linear").log_snr(np.array([0.0, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(line, [15, 0, -7.5, -15], atol=1e-9)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "discrete_cosine"])
def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_start(schedule):
    plain = DiffusionConfig(schedule=schedule)
    rescaled = DiffusionConfig(schedule=schedule, zero_terminal_snr=True)
    assert rescaled.alpha_sigma(1.0) == (0, 1)
    np.testing.assert_allclose(rescaled.alpha_sigma(0.0), plain.alpha_sigma(0.0), rtol=1e-9)


@pytest.mark.parametrize("settings", [{}, {"schedule": "discrete_cosine"}])
def test_below_zero_lies_the_clean_clip(settings):
    config = DiffusionConfig(**settings)
    assert tuple(map(float, config.alpha_sigma(CLEAN))) == (1, 0)
    assert tuple(map(float, config.alpha_sigma(jnp.float32(CLEAN)))) == (1, 0)
    assert config.log_snr(CLEAN) == np.inf


def test_adding_noise_is_that_of_diffusers(golden):
    data = np.load(golden / "schedulers/misc.npz")
    config = DiffusionConfig(schedule="discrete_cosine")
    time = jnp.asarray(data["add_noise_t"] / 1000, jnp.float32)
    ours = config.add_noise(data["add_noise_x0"], data["add_noise_noise"], time)
    np.testing.assert_allclose(ours, data["add_noise_out"], atol=1e-5)


def test_alpha_sigma_is_traceable():
    config = DiffusionConfig()
    alpha, _ = jax.jit(config.alpha_sigma)(jnp.array([0.5]))
    assert alpha[0] == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cosin"}, "schedule='cosin' is none of .*; try 'cosine'"),
        ({"prediction": "epsilon"}, "prediction='epsilon' is none of noise, velocity, clean"),
        ({"shift": 100}, "shift=100 lies outside .*; try 64"),
        ({"schedule": "discrete_cosine", "shift": 0.5}, "with 'discrete_cosine' use shift=1"),
        ({"zero_terminal_snr": True, "prediction": "noise"}, "needs prediction='velocity'"),
    ],
)
def test_a_wrong_setting_names_its_field_and_the_fix(settings, message):
    with pytest.raises(ValueError, match=message):
        DiffusionConfig(**settings)
