"""Start one of several processes, and put the rows that it loads into the global batch.

A process knows its own devices and loads its own rows of every batch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.sharding import Mesh

from lumiere_jax.parallel.mesh import BATCH_AXES
from lumiere_jax.parallel.sharding import batch_shardings

CACHE_VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def is_pod(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process is one of several, according to the environment.

    That is so with a coordinator (`JAX_COORDINATOR_ADDRESS`), in a SLURM step of several tasks, and
    on a TPU worker with neighbours.
    """
    return (
        "JAX_COORDINATOR_ADDRESS" in environment
        or int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    )


def start_processes(distributed: bool | None = None) -> None:
    """Join the other processes; must be called before JAX is used.

    Args:
      distributed: True to join, False to run alone, None to follow the environment (`is_pod`).
    """
    if jax.distributed.is_initialized() or not (is_pod() if distributed is None else distributed):
        return
    count, index = os.environ.get("JAX_NUM_PROCESSES"), os.environ.get("JAX_PROCESS_ID")
    jax.distributed.initialize(
        coordinator_address=os.environ.get("JAX_COORDINATOR_ADDRESS"),
        num_processes=int(count) if count else None,  # None: JAX asks SLURM or the TPU metadata
        process_id=int(index) if index else None,
    )
    logging.info("process %d of %d", jax.process_index(), jax.process_count())


def use_compilation_cache(folder: epath.PathLike | None = None) -> epath.Path:
    """Keep compiled programs between runs, which saves a second run minutes of compilation.

    Args:
      folder: folder of the cache; by default `$JAX_COMPILATION_CACHE_DIR`, else
        `~/.cache/lumiere_jax/xla`.

    Returns:
      Folder in use.
    """
    folder = folder or os.environ.get(CACHE_VARIABLE) or "~/.cache/lumiere_jax/xla"
    folder = epath.Path(folder).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def data_share(mesh: Mesh) -> tuple[int, int]:
    """Return (index, count): this process loads share `index` of `count` of every batch.

    Processes that have different devices along `context` get the same share.
    """
    rows = mesh.shape["replica"] * mesh.shape["fsdp"]
    sharding = jax.sharding.NamedSharding(mesh, jax.P(BATCH_AXES))
    mine = sharding.addressable_devices_indices_map((rows,)).values()
    starts = {index[0].start or 0 for index in mine}
    count = rows // len(starts)
    return min(starts) // len(starts), count


def global_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Put the rows of this process on its devices, as its share of one global batch.

    Args:
      batch: arrays [rows of this process, ...]; the number of rows is the same in every process.
      mesh: mesh of all processes' devices.

    Returns:
      Global arrays [rows of all processes, ...].

    Raises:
      ValueError: the global batch does not divide over the mesh.
    """
    _, count = data_share(mesh)
    shapes = {
        key: jax.ShapeDtypeStruct((value.shape[0] * count, *value.shape[1:]), value.dtype)
        for key, value in batch.items()
    }
    shardings = batch_shardings(shapes, mesh)
    if count == 1:
        return jax.device_put(dict(batch), shardings)
    return {
        key: _assemble(value, shapes[key].shape, shardings[key]) for key, value in batch.items()
    }


def _assemble(rows: np.ndarray, shape: tuple[int, ...], sharding: Any) -> jax.Array:
    return jax.make_array_from_process_local_data(sharding, rows, shape)
