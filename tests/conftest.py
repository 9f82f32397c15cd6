"""One place for what every test needs: eight fake CPU devices and exact float32 arithmetic."""

import os

# Must be set before JAX starts its backend. Eight devices on the CPU stand in for a mesh.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    ).strip()

import pathlib

import jax
import pytest

jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
    """Folder of parity data made by the original packages; see its README."""
    return pathlib.Path(__file__).parent / "golden"
