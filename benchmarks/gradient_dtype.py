r"""Error of gradients that devices sum in bfloat16, against float32, on eight simulated devices.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m benchmarks.gradient_dtype

The network computes in bfloat16, as on accelerators, and every parameter is divided over eight
devices (`fsdp=8`). Each device's gradient of a stored part is summed with the others' in the dtype
of `train.gradient_dtype`. Printed are the relative distances, in the Euclidean norm, of the summed
gradient from the gradient of the same clips with float32 computation on the same mesh: once for
each dtype of the sum, so that the rounding of the sum can be compared with that of the network.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import CONFIG, random_batch
from lumiere_jax.one_line_errors import run


def main(_: list[str]) -> None:
    """Print the error of each dtype."""
    from lumiere_jax.training.command_line import load_config, to_experiment

    experiment = to_experiment(load_config(CONFIG.value))
    data = dataclasses.replace(experiment.data, batch_size=jax.device_count())
    experiment = dataclasses.replace(experiment, data=data)
    exact = gradient(experiment, "float32", "float32")
    for summed in ("float32", "bfloat16"):
        found = gradient(experiment, "bfloat16", summed)
        print(f"summed in {summed:8}: {distance(found, exact):.4f}", flush=True)


def gradient(experiment, dtype: str, gradient_dtype: str) -> list[np.ndarray]:
    """Return the gradient of a fixed batch, a leaf for each trained parameter."""
    from jax.sharding import PartitionSpec as P

    from lumiere_jax.parallel import (
        BATCH_AXES,
        MeshConfig,
        device_rows,
        divisions_of,
        make_mesh,
        storage_shardings,
    )
    from lumiere_jax.training.objective import make_objective
    from lumiere_jax.training.state import merge_params, split_params
    from lumiere_jax.training.step import accumulate_gradients, gradients_over_devices

    train = dataclasses.replace(experiment.train, dtype=dtype, gradient_dtype=gradient_dtype)
    objective = make_objective(dataclasses.replace(experiment, train=train))
    mesh = make_mesh(MeshConfig(replica=1, fsdp=-1))
    rng = np.random.default_rng(0)
    # Layers that are initialized to zero would have no gradient before them.
    params = jax.tree.map(
        lambda leaf: (leaf + 0.02 * rng.normal(size=leaf.shape)).astype(np.float32),
        jax.device_get(objective.init(jax.random.key(0))),
    )
    parts = split_params(params, train.trainable)
    shardings = tuple(storage_shardings(tree, mesh, small=2) for tree in parts)
    parts = jax.device_put(parts, shardings)
    divisions = divisions_of(parts)
    local = objective.on_mesh(merge_params(*divisions), mesh)

    def of_devices(trainable, frozen, batch):
        def loss(trainable, batch, key):
            rows = device_rows(len(batch["video"]))
            return local.loss(merge_params(frozen, trainable), batch, key, rows)

        found = accumulate_gradients(loss, trainable, batch, jax.random.key(1), 1)
        return gradients_over_devices(*found, divisions[0])[0]

    specs = jax.tree.map(lambda sharding: sharding.spec, shardings)
    run_on_devices = jax.shard_map(
        of_devices,
        mesh=mesh,
        in_specs=(*specs, P(BATCH_AXES)),
        out_specs=specs[0],
        check_vma=False,
    )
    found = jax.jit(run_on_devices)(*parts, random_batch(experiment))
    return jax.tree.leaves(jax.device_get(found))


def distance(found: list[np.ndarray], exact: list[np.ndarray]) -> float:
    """Return the norm of the difference, relative to the norm of the exact gradient."""
    difference = sum(float(jnp.sum((a - b) ** 2)) for a, b in zip(found, exact))
    return (difference / sum(float(jnp.sum(b**2)) for b in exact)) ** 0.5


if __name__ == "__main__":
    run(main)
