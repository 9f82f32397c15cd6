"""Learning rates and updates, against numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lumiere_jax.training.optimizer import OptimizerConfig, learning_rate_schedule, make_optimizer


def test_warm_up_moves_at_once_and_reaches_the_peak():
    rate = learning_rate_schedule(OptimizerConfig(learning_rate=1.0, warmup_steps=4), 100)
    np.testing.assert_allclose([rate(i) for i in range(6)], [0.25, 0.5, 0.75, 1, 1, 1])


def test_cosine_ends_at_its_final_fraction():
    config = OptimizerConfig(
        learning_rate=2.0, schedule="cosine", warmup_steps=2, final_fraction=0.1
    )
    rate = learning_rate_schedule(config, 12)
    np.testing.assert_allclose([rate(2), rate(7), rate(12)], [2.0, 1.1, 0.2], rtol=1e-6)


def _update(config, gradient, value):
    optimizer = make_optimizer(config, 10)
    params = {"kernel": jnp.asarray(value)}
    updates, _ = optimizer.update({"kernel": jnp.asarray(gradient)}, optimizer.init(params), params)
    return np.asarray(optax.apply_updates(params, updates)["kernel"])


def test_the_first_adamw_step_is_the_sign_of_the_gradient_and_the_decay():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.5, clip_norm=0)
    new = _update(config, [[3.0, -4.0]], [[1.0, 2.0]])
    np.testing.assert_allclose(new, [[1 - 0.1 - 0.05, 2 + 0.1 - 0.1]], rtol=1e-6)


def test_biases_do_not_decay():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.5)
    np.testing.assert_array_equal(_update(config, [0.0], [1.0]), [1.0])


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_both_optimizers_minimise_a_bowl(name):
    config = OptimizerConfig(name=name, learning_rate=0.1, schedule="cosine")
    optimizer = make_optimizer(config, 100)
    params = {"kernel": jnp.full((4, 4), 2.0)}
    state = optimizer.init(params)
    for _ in range(100):
        updates, state = optimizer.update(params, state, params)
        params = optax.apply_updates(params, updates)
    assert float(jnp.abs(params["kernel"]).max()) < 0.1
