"""Gradients of eight devices and of one are the same number, in float64, a leaf at a time.

The combinations of stage, mesh, micro-batches and rematerialisation are chosen so that each pair
of values occurs; `pytest -m slow` runs those that the suite leaves out.
"""

import dataclasses
import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax.sharding import PartitionSpec as P

from lumiere_jax.input_pipeline import MaskMixture
from lumiere_jax.models import network
from lumiere_jax.parallel import (
    BATCH_AXES,
    MeshConfig,
    device_rows,
    divisions_of,
    make_mesh,
    storage_shardings,
)
from lumiere_jax.training import objective
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.state import merge_params, split_params
from lumiere_jax.training.step import accumulate_gradients, gradients_over_devices
from lumiere_jax.training.super_resolution import SuperResolutionConfig
from lumiere_jax.video.pixel_values import from_uint8
from tests.tiny import refiner_options, tiny_batch, tiny_experiment, unet, with_train

# The suite's faster compiler computes exp and erf of float64 to 1e-8 (tests/conftest.py).
EMITTERS = "xla_cpu_use_fusion_emitters"
EXACT = {EMITTERS: True} if EMITTERS in os.environ["XLA_FLAGS"] else None

FSDP = MeshConfig(replica=1, fsdp=8)
DATA = MeshConfig(replica=8)
REPLICAS = MeshConfig(replica=4, fsdp=2)
HEIGHT_2 = MeshConfig(replica=1, fsdp=4, context=2)
HEIGHT_4 = MeshConfig(replica=1, fsdp=2, context=4)
MIXED = MeshConfig(replica=2, fsdp=2, context=2)

VIDEO_REFINER = refiner_options(temporal=unet().temporal)
MODELS = {
    "image": unet(temporal=None),
    "base": unet(),
    "conditional": unet(observed=True),
    "style": unet(temporal=None),
    "factors": unet(temporal=None),
    "ssr": unet(**VIDEO_REFINER),
}
TRAINABLE = {"image": ".", "style": "^unet/", "factors": "low_rank", "ssr": "."}


def experiment_of(stage, accumulate, remat):
    video = stage in ("base", "conditional", "ssr")
    experiment = tiny_experiment("base" if video else "image")
    model = MODELS[stage]
    text = experiment.text if model.text_dim else None
    refined = SuperResolutionConfig(factor=2) if stage == "ssr" else None
    masks = MaskMixture() if stage == "conditional" else None
    experiment = dataclasses.replace(
        experiment,
        model=model,
        text=text,
        super_resolution=refined,
        data=dataclasses.replace(experiment.data, masks=masks),
    )
    trainable = TRAINABLE.get(stage, "temporal|observation")
    return with_train(
        experiment,
        trainable=trainable,
        low_rank=2 if stage == "factors" else 0,
        accumulate=accumulate,
        remat=remat,
        text_dropout=0.3,
    )


def batch_of(experiment):
    batch = tiny_batch(3, experiment.data.clip_frames, 16)
    batch.pop("record")
    if experiment.data.masks is not None:
        rng = np.random.default_rng(0)
        batch["mask"] = rng.random((*batch["video"].shape[:-1], 1)) < 0.3
        batch["still"] = rng.random(16) < 0.5
    return batch


def wide(narrow):
    """Return an objective that computes in float64."""
    networks = {
        name: network(net.config, dtype=jnp.float64, remat=net.remat)
        for name, net in narrow.networks.items()
    }
    return dataclasses.replace(narrow, **networks)


def random_params(whole):
    rng = np.random.default_rng(7)
    return jax.tree.map(lambda leaf: 0.2 * rng.normal(size=leaf.shape), whole.shapes())


def compute(function, *arguments):
    compiled = function.lower(*arguments).compile(compiler_options=EXACT)
    return jax.device_get(compiled(*arguments))


def gradients(loss, trainable, frozen, batch, key, parts):
    def of_trainable(trainable, batch, key):
        return loss(merge_params(frozen, trainable), batch, key)

    return accumulate_gradients(of_trainable, trainable, batch, key, parts)


@pytest.fixture(autouse=True)
def _clips_are_float64(monkeypatch):
    """Make clips float64: resizing and noising keep their dtype, float32 in training."""
    monkeypatch.setattr(objective, "from_uint8", lambda clip: from_uint8(clip).astype(jnp.float64))


@functools.cache
def alone(stage, accumulate):
    """Return the gradient, and the metrics, of one device that has every row."""
    experiment = experiment_of(stage, accumulate, False)
    with jax.enable_x64(True):
        whole = wide(make_objective(experiment))
        params = split_params(random_params(whole), experiment.train.trainable)
        run = jax.jit(lambda *args: gradients(whole.loss, *args, accumulate))
        return compute(run, *params, batch_of(experiment), jax.random.key(11))


def on_mesh(stage, mesh, accumulate, remat):
    """Return the same from eight devices, each of which has its parts and its rows."""
    experiment = experiment_of(stage, accumulate, remat)
    mesh = make_mesh(mesh)
    with jax.enable_x64(True):
        whole = wide(make_objective(experiment))
        params = split_params(random_params(whole), experiment.train.trainable)
        # Even the shortest vector is divided, where it can be.
        shardings = tuple(storage_shardings(tree, mesh, small=2) for tree in params)
        params = jax.device_put(params, shardings)
        divisions = divisions_of(params)
        local = whole.on_mesh(merge_params(*divisions), mesh)

        def loss(params, batch, key):
            return local.loss(params, batch, key, device_rows(len(batch["video"])))

        def run(trainable, frozen, batch, key):
            found = gradients(loss, trainable, frozen, batch, key, accumulate)
            return gradients_over_devices(*found, divisions[0])

        specs = jax.tree.map(lambda leaf: leaf.sharding.spec, params)
        run = jax.shard_map(
            run,
            mesh=mesh,
            in_specs=(*specs, P(BATCH_AXES), P()),
            out_specs=(specs[0], P()),
            check_vma=False,
        )
        return compute(jax.jit(run), *params, batch_of(experiment), jax.random.key(11))


def case(stage, mesh, accumulate=1, remat=False, *, slow=True):
    marks = [pytest.mark.slow] if slow else []
    axes = "x".join(str(size) for size in mesh.shape(8))
    name = f"{stage}-{axes}" + (f"-{accumulate}parts" if accumulate > 1 else "")
    name += "-remat" if remat else ""
    return pytest.param(stage, mesh, accumulate, remat, marks=marks, id=name)


@pytest.mark.parametrize(
    ("stage", "mesh", "accumulate", "remat"),
    [
        case("image", FSDP, 2, True),
        case("image", HEIGHT_4),
        case("base", DATA, 1, True),
        case("base", FSDP),
        case("base", MIXED, 2, False),
        case("base", HEIGHT_4, 1, True, slow=False),
        case("conditional", REPLICAS, 2, True),
        case("conditional", HEIGHT_2, 1, False),
        case("style", REPLICAS, 1, False),
        case("factors", MIXED, 2, True, slow=False),
        case("ssr", HEIGHT_2, 2, True),
        case("ssr", REPLICAS, 1, False),
    ],
)
def test_many_devices_compute_the_gradient_of_one(stage, mesh, accumulate, remat):
    expected, expected_metrics = alone(stage, accumulate)
    found, metrics = on_mesh(stage, mesh, accumulate, remat)
    expected, found = flatten_dict(expected, sep="/"), flatten_dict(found, sep="/")
    assert expected.keys() == found.keys()
    largest = max(np.abs(leaf).max() for leaf in expected.values())
    for path, leaf in expected.items():
        # A bias before a norm has no gradient but for rounding.
        scale = max(np.abs(leaf).max(), 1e-6 * largest)
        np.testing.assert_allclose(found[path], leaf, rtol=0, atol=1e-9 * scale, err_msg=path)
    for name, value in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-6, err_msg=name)
