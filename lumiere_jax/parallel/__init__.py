"""Many devices: the mesh, the sharding rules, and the start of several processes."""

from lumiere_jax.parallel.mesh import AXES, MeshConfig, make_mesh
from lumiere_jax.parallel.processes import (
    data_share,
    global_batch,
    start_processes,
    use_compilation_cache,
)
from lumiere_jax.parallel.sharding import (
    LOGICAL_AXES,
    batch_shardings,
    constrain,
    replicated,
    storage_shardings,
)

__all__ = [
    "AXES",
    "LOGICAL_AXES",
    "MeshConfig",
    "batch_shardings",
    "constrain",
    "data_share",
    "global_batch",
    "make_mesh",
    "replicated",
    "start_processes",
    "storage_shardings",
    "use_compilation_cache",
]
