"""Many devices: the mesh, storage, collectives, rows of a batch, and the start of processes."""

from lumiere_jax.parallel.mesh import AXES, BATCH_AXES, MeshConfig, make_mesh
from lumiere_jax.parallel.processes import (
    data_share,
    global_batch,
    start_processes,
    use_compilation_cache,
)
from lumiere_jax.parallel.rows import Rows, all_rows, device_rows, map_rows
from lumiere_jax.parallel.sharding import (
    Division,
    Layout,
    batch_shardings,
    divisions_of,
    layout_of,
    replicated,
    storage_shardings,
)

__all__ = [
    "AXES",
    "BATCH_AXES",
    "Division",
    "Layout",
    "MeshConfig",
    "Rows",
    "all_rows",
    "batch_shardings",
    "data_share",
    "device_rows",
    "divisions_of",
    "global_batch",
    "layout_of",
    "make_mesh",
    "map_rows",
    "replicated",
    "start_processes",
    "storage_shardings",
    "use_compilation_cache",
]
