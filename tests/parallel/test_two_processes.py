"""Two real processes of two fake devices each."""

import os
import socket
import subprocess
import sys

PROGRAM = """
import jax
import numpy as np
from lumiere_jax.parallel import MeshConfig, data_share, global_batch, make_mesh, start_processes

start_processes()
assert jax.process_count() == 2 and jax.device_count() == 4
me = jax.process_index()
whole = np.arange(4 * 4).reshape(4, 4, 1, 1, 1)
weighted_sum = jax.jit(lambda x: (x.ravel() * np.arange(16)).sum())

mesh = make_mesh(MeshConfig(replica=2, fsdp=2))  # each process has two of four rows
assert data_share(mesh) == (me, 2)
batch = global_batch({"video": whole[2 * me : 2 * me + 2]}, mesh)["video"]
assert batch.shape == whole.shape
assert weighted_sum(batch) == (np.arange(16) ** 2).sum()

mesh = make_mesh(MeshConfig(context=4))  # both have all the rows
assert data_share(mesh) == (0, 1)
batch = global_batch({"video": whole}, mesh)["video"]
assert batch.addressable_shards[0].data.shape == (4, 4, 1, 1, 1)
assert weighted_sum(batch) == (np.arange(16) ** 2).sum()
print("fine")
"""


def test_each_process_contributes_its_rows():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=os.environ
            | {
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
                "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(index),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert "fine" in output
