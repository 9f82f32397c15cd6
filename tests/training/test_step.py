"""The step on eight fake devices, with the real U-Net, text encoder and loss."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lumiere_jax.parallel import MeshConfig, global_batch, make_mesh
from lumiere_jax.training.config import TrainConfig
from lumiere_jax.training.initialize import start_params, state_shapes
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.optimizer import make_optimizer
from lumiere_jax.training.state import create_state
from lumiere_jax.training.step import compile_step, make_train_step
from tests.tiny import tiny_batch, tiny_experiment


def prepare(experiment, mesh_config=None, devices=None):
    """Return (function that compiles the step, state, batch) of an experiment on a mesh."""
    mesh = make_mesh(mesh_config, devices)
    objective = make_objective(experiment)
    optimizer = make_optimizer(experiment.optimizer, experiment.train.steps)
    shapes = state_shapes(objective, optimizer, mesh, small=64)

    # Layers that are initialized to zero would hide those before them.
    params = jax.tree.map(
        lambda leaf: (
            leaf + 0.05 * np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape)
        ),
        jax.device_get(objective.init(jax.random.key(1))),
    )
    state = jax.jit(
        lambda params: create_state(params, experiment.train.trainable, optimizer, objective.dtype),
        out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes),
    )(params)
    batch = tiny_batch(0, 4 if experiment.model.temporal else 1)
    batch.pop("record")
    batch = global_batch(batch, mesh)

    def compiled():
        return compile_step(objective, state, batch, mesh).run

    return compiled, state, batch


@pytest.fixture(scope="module")
def alone():
    """Run one step of the base stage on one device."""
    run, state, batch = prepare(tiny_experiment("base"), devices=jax.devices()[:1])
    return jax.device_get(run()(state, batch))


@pytest.mark.parametrize(
    "mesh",
    [
        pytest.param(MeshConfig(), id="data"),
        pytest.param(MeshConfig(fsdp=8), id="fsdp"),
        pytest.param(MeshConfig(replica=2, fsdp=2, context=2), id="mixed"),
    ],
)
@pytest.mark.slow  # test_parity.py compares gradients, test_divided_optimizers.py updates
def test_many_devices_compute_what_one_computes(alone, mesh):
    run, state, batch = prepare(tiny_experiment("base"), mesh)
    new, metrics = run()(state, batch)
    expected, expected_metrics = alone
    np.testing.assert_allclose(metrics["loss"], expected_metrics["loss"], rtol=1e-5)
    np.testing.assert_allclose(
        metrics["gradient_norm"], expected_metrics["gradient_norm"], rtol=1e-5
    )
    # Adam's first moment after one step is a tenth of the clipped gradient.
    moments = jax.device_get(new.optimizer[1].mu), expected.optimizer[1].mu
    chex.assert_trees_all_close(*moments, atol=1e-6)


def test_fsdp_divides_weights_average_and_optimizer():
    _, state, _ = prepare(tiny_experiment("image"), MeshConfig(fsdp=8))
    total = sum(leaf.size for leaf in jax.tree.leaves(state))
    here = sum(leaf.addressable_shards[0].data.size for leaf in jax.tree.leaves(state))
    assert here < total / 4


def test_only_the_temporal_half_moves_and_only_it_has_optimizer_state():
    run, state, batch = prepare(tiny_experiment("base"))
    before = jax.device_get(state)
    new, _ = run()(state, batch)
    chex.assert_trees_all_equal(before.frozen, jax.device_get(new.frozen))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before.trainable, new.trainable)
    assert np.mean(jax.tree.leaves(moved)) > 0.9
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(new.trainable)]
    assert paths
    assert all("temporal" in path for path in paths)
    trained = sum(leaf.size for leaf in jax.tree.leaves(new.trainable))
    held = sum(leaf.size for leaf in jax.tree.leaves(new.optimizer))
    assert held <= 2 * trained + 4


def test_a_batch_that_is_not_finite_changes_nothing_but_the_counters():
    run, state, batch = prepare(tiny_experiment("base"))
    conv_in = state.frozen["unet"]["conv_in"]
    conv_in["bias"] = jax.device_put(conv_in["bias"] * np.nan, conv_in["bias"].sharding)
    before = jax.device_get(state)
    new, metrics = jax.device_get(run()(state, batch))
    assert not np.isfinite(metrics["loss"])
    for field in ("trainable", "ema", "optimizer"):
        chex.assert_trees_all_equal(getattr(before, field), getattr(new, field))
    assert (new.step, new.skipped, new.skipped_in_a_row) == (1, 1, 1)


def regression_loss(params, batch, key):
    """Return a loss without noise whose gradient is known, and a random number of the key."""
    error = batch["x"] @ params["unet"]["kernel"] - batch["y"]
    loss = jnp.mean(error**2)
    return loss, {"loss": loss, "draw": jax.random.uniform(key)}


def regression(config):
    """Return (step, state, batch) of a linear regression."""
    optimizer = optax.sgd(0.1)
    rng = np.random.default_rng(0)
    params = {"unet": {"kernel": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)}}
    state = create_state(params, ".", optimizer, jnp.float32)
    batch = {"x": rng.normal(size=(16, 3)), "y": rng.normal(size=(16, 2))}
    batch = {name: jnp.asarray(value, jnp.float32) for name, value in batch.items()}
    step = make_train_step(regression_loss, optimizer, optax.constant_schedule(0.1), config, seed=3)
    return jax.jit(step), state, batch


def test_micro_batches_give_the_gradient_of_the_whole_batch():
    whole, state, batch = regression(TrainConfig())
    parts, _, _ = regression(TrainConfig(accumulate=4))
    one, metrics = whole(state, batch)
    other, other_metrics = parts(state, batch)
    np.testing.assert_allclose(
        one.trainable["unet"]["kernel"], other.trainable["unet"]["kernel"], rtol=1e-6
    )
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(metrics[name], other_metrics[name], rtol=1e-6)


def test_randomness_is_a_function_of_the_step_alone():
    step, state, batch = regression(TrainConfig())
    first, metrics = step(state, batch)
    _, again = step(state, batch)
    _, later = step(first, batch)
    assert metrics["draw"] == again["draw"] != later["draw"]
    resumed = state._replace(step=jnp.asarray(1, jnp.int32))
    assert step(resumed, batch)[1]["draw"] == later["draw"]


def test_the_average_follows_the_weights():
    step, state, batch = regression(TrainConfig(ema_decay=0.99))
    new, _ = step(state, batch)
    old, moved = state.trainable["unet"]["kernel"], new.trainable["unet"]["kernel"]
    # At step 0 the decay is (1 + 0) / (10 + 0).
    np.testing.assert_allclose(new.ema["unet"]["kernel"], 0.1 * old + 0.9 * moved, rtol=1e-5)


def test_refused_updates_are_counted_until_a_good_one():
    step, state, batch = regression(TrainConfig())
    bad = batch | {"y": batch["y"].at[0, 0].set(jnp.nan)}
    counts = []
    for given in (bad, bad, batch, bad):
        state, metrics = step(state, given)
        counts.append((int(metrics["skipped"]), int(metrics["skipped_in_a_row"])))
    assert counts == [(1, 1), (2, 2), (2, 0), (3, 1)]
    assert int(state.step) == 4


def test_text_dropout_of_one_trains_the_null_text_alone():
    objective = make_objective(tiny_experiment("image", text_dropout=1.0))
    batch = {key: jnp.asarray(value) for key, value in tiny_batch(0, 1).items() if key != "record"}
    tokens = objective.drop_text(batch, jax.random.key(0))
    assert tokens.ids.shape == (8, 8)
    np.testing.assert_array_equal(tokens.ids, [[1, 0, 0, 0, 0, 0, 0, 0]] * 8)
    np.testing.assert_array_equal(tokens.mask, [[True] + [False] * 7] * 8)


def test_fresh_weights_are_drawn_in_place():
    experiment = tiny_experiment("image")
    mesh = make_mesh(MeshConfig(fsdp=8))
    params = start_params(make_objective(experiment), mesh, None)
    assert set(params) == {"unet", "text"}
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
