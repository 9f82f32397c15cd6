"""Learning rates and updates, compared with numbers computed by hand."""

import chex
import jax
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


@pytest.mark.parametrize("name", ["adamw", "adafactor", "muon"])
def test_every_optimizer_minimises_a_bowl(name):
    config = OptimizerConfig(name=name, learning_rate=0.1, schedule="cosine", matrix_rms=1.0)
    optimizer = make_optimizer(config, 200)
    params = {"kernel": jnp.full((4, 4), 2.0)}
    state = optimizer.init(params)
    step = jax.jit(optimizer.update)
    for _ in range(200):
        updates, state = step(params, state, params)
        params = optax.apply_updates(params, updates)
    assert float(jnp.abs(params["kernel"]).max()) < 0.1


def test_muon_moves_a_matrix_as_far_in_every_direction():
    gradient = np.random.default_rng(0).normal(size=(12, 4)) * [30, 10, 3, 1]
    config = OptimizerConfig(name="muon", learning_rate=0.1, matrix_rms=0.5, clip_norm=0)
    moved = -_update(config, gradient, np.zeros((12, 4)))
    # U V^T of the gradient's U S V^T, scaled to the root mean square; five Newton-Schulz steps
    # bring its singular values near 1, not to it.
    sizes = np.linalg.svd(moved, compute_uv=False) / (0.1 * 0.5 * np.sqrt(12))
    assert sizes.min() > 0.5
    assert sizes.max() < 1.3
    assert (moved * gradient).sum() > 0


def test_muon_takes_a_convolution_for_the_matrix_of_its_patches():
    config = OptimizerConfig(name="muon", learning_rate=0.1)
    gradient = np.random.default_rng(1).normal(size=(3, 3, 4, 8)).astype(np.float32)
    kernel = _update(config, gradient, np.zeros((3, 3, 4, 8)))
    matrix = _update(config, gradient.reshape(36, 8), np.zeros((36, 8)))
    np.testing.assert_allclose(kernel.reshape(36, 8), matrix, atol=1e-6)


def test_muon_leaves_vectors_embeddings_and_the_output_to_adamw():
    shapes = {"unet": {"conv_out": {"kernel": (3, 3, 4, 6), "bias": (6,)}}}
    shapes["text"] = {"token_embedding": {"embedding": (10, 4)}}
    params = _draw(np.random.default_rng(2), shapes)
    optimizer = make_optimizer(OptimizerConfig(name="muon", learning_rate=0.1, clip_norm=0), 10)
    peer = optax.nadamw(0.1, weight_decay=0)  # AdamW with Nesterov momentum, as Muon has
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    expected, _ = peer.update(params, peer.init(params), params)
    chex.assert_trees_all_close(updates, expected, rtol=1e-5)


def _draw(rng, shapes):
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32),
        shapes,
        is_leaf=lambda node: isinstance(node, tuple),
    )
