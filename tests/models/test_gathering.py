"""Networks whose parameters are divided over eight devices, down to the shortest vector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from lumiere_jax.models import TemporalConfig, network
from lumiere_jax.parallel import (
    BATCH_AXES,
    MeshConfig,
    divisions_of,
    layout_of,
    make_mesh,
    storage_shardings,
)
from lumiere_jax.parallel.count import count_collectives
from lumiere_jax.text import Text
from tests.tiny import TEXT, refiner_options, unet

ROWS = P(BATCH_AXES)
PATTERN = TemporalConfig(head_dim=8, attention_layers=1, pattern=(2, 2, 2))


def on_mesh(config, mesh, rows=None, **options):
    """Return (parameters, function of parameters and inputs on a mesh, layout) of a network."""
    net = network(config, **options)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: np.asarray(rng.normal(size=leaf.shape) * 0.2, np.float32), net.shapes()
    )
    params = jax.device_put(params, storage_shardings(params, mesh, small=2))
    layout = layout_of(divisions_of(params), rows=rows)
    local = net.with_layout(layout)

    def run(params, args, kwargs):
        return local.apply(params, *args, **kwargs)

    mapped = jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(layout.specs(params), ROWS, ROWS),
        out_specs=ROWS,
        check_vma=False,
    )
    return params, jax.jit(mapped), layout


def inputs(config, rows=8):
    rng = np.random.default_rng(1)
    clip = jnp.asarray(rng.normal(size=(rows, 4, 8, 8, 3)), jnp.float32)
    text = None
    if config.text_dim is not None:
        mask = jnp.arange(5) < jnp.asarray(rng.integers(1, 6, rows))[:, None]
        text = Text(jnp.asarray(rng.normal(size=(rows, 5, config.text_dim)), jnp.float32), mask)
    kwargs = {"low_resolution": 0.5 * clip} if config.low_resolution else {}
    kwargs |= {"augmentation": jnp.linspace(0, 0.9, rows)} if config.augmentation else {}
    return (clip, jnp.linspace(0, 0.9, rows), text), kwargs


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(unet(temporal=PATTERN), id="pattern"),
        pytest.param(unet(**refiner_options(patch=2, bypass=True)), id="patch-bypass"),
    ],
)
def test_a_network_in_parts_computes_what_it_computes_whole(config):
    params, run, layout = on_mesh(config, make_mesh(MeshConfig(fsdp=4, context=2)))
    assert len(layout.divisions) > 0.9 * len(jax.tree.leaves(params))
    given = inputs(config)
    expected = network(config).apply(jax.device_get(params), *given[0], **given[1])
    np.testing.assert_allclose(run(params, *given), expected, atol=2e-5)


def test_a_text_encoder_in_parts_computes_what_it_computes_whole():
    params, run, layout = on_mesh(TEXT, make_mesh(MeshConfig(fsdp=8)))
    assert "relative_bias/embedding" in layout.by_path
    rng = np.random.default_rng(2)
    tokens = jnp.asarray(rng.integers(0, 384, (8, 6)))
    mask = jnp.arange(6) < jnp.asarray(rng.integers(1, 7, 8))[:, None]
    expected = network(TEXT).apply(jax.device_get(params), tokens, mask)
    np.testing.assert_allclose(run(params, (tokens, mask), {}), expected, atol=2e-5)


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_pass_gathers_every_matrix_once_and_keeps_none(remat):
    """Count in the jaxpr: forward, again in the backward pass, and the sums of its gradient."""
    config = unet()
    params, run, layout = on_mesh(config, make_mesh(MeshConfig(fsdp=8)), remat=remat)
    args = inputs(config)

    def loss(params):
        return jnp.sum(run(params, *args) ** 2)

    counts = {"all_gather": 0, "reduce_scatter": 0}
    for record in count_collectives(jax.jit(jax.grad(loss)).trace(params).jaxpr):
        counts[record.kind] = counts.get(record.kind, 0) + record.count
    divided = len(layout.divisions)
    matrices = sum(leaf.ndim > 1 for leaf in jax.tree.leaves(params))
    # Biases are not needed again, nor are matrices whose input has no gradient.
    assert divided + 0.9 * matrices < counts["all_gather"] <= 2 * divided
    assert counts["reduce_scatter"] == divided


@pytest.mark.parametrize(
    ("config", "context", "message"),
    [
        (unet(), 8, r"mesh\.context=8 does not divide the 4 rows .* use a divisor of 4"),
        (unet(temporal=PATTERN), 2, r"mesh\.context=2: .* temporal\.pattern needs whole frames"),
        (unet(**refiner_options(bypass=True)), 2, r"mesh\.context=2: .* bypass needs whole frames"),
    ],
)
def test_frames_that_cannot_be_divided_are_refused_with_the_flag(config, context, message):
    mesh = make_mesh(MeshConfig(context=context))
    params, run, _ = on_mesh(config, mesh, rows="context")
    with pytest.raises(ValueError, match=message):
        run.trace(params, *inputs(config))
