"""Starting processes and placing their batches."""

import jax
import numpy as np

from lumiere_jax.parallel import MeshConfig, data_share, global_batch, make_mesh
from lumiere_jax.parallel.processes import is_pod, start_processes, use_compilation_cache


def test_a_single_machine_is_not_a_pod():
    assert not is_pod({})
    assert not is_pod({"TPU_WORKER_HOSTNAMES": "localhost", "SLURM_STEP_NUM_TASKS": "1"})


def test_signs_of_a_pod():
    assert is_pod({"JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234"})
    assert is_pod({"SLURM_STEP_NUM_TASKS": "4"})
    assert is_pod({"TPU_WORKER_HOSTNAMES": "worker-0,worker-1"})


def test_a_single_process_does_not_join_others():
    start_processes(distributed=False)
    assert not jax.distributed.is_initialized()


def test_the_only_process_loads_every_row():
    assert data_share(make_mesh(MeshConfig(fsdp=2, context=2))) == (0, 1)


def test_a_global_batch_is_whole_and_its_rows_are_divided():
    mesh = make_mesh(MeshConfig(replica=2, fsdp=2, context=2))
    batch = {
        "video": np.arange(4 * 4 * 2, dtype=np.uint8).reshape(4, 4, 2, 1, 1),
        "record": np.arange(4),
    }
    placed = global_batch(batch, mesh)
    np.testing.assert_array_equal(placed["video"], batch["video"])
    np.testing.assert_array_equal(placed["record"], batch["record"])
    assert placed["video"].addressable_shards[0].data.shape == (1, 4, 2, 1, 1)


def test_the_compilation_cache_goes_where_the_environment_says(tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    try:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "xla"))
        assert str(use_compilation_cache()) == str(tmp_path / "xla")
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        assert str(use_compilation_cache()).endswith("lumiere_jax/xla")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
