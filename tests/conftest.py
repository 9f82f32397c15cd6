"""One place for what every test needs: eight fake CPU devices and exact float32 arithmetic."""

import os

# Must be set before JAX starts its backend. Eight devices on the CPU stand in for a mesh, and
# compiling dominates the suite: code that runs once need not be optimised.
FLAGS = {"xla_force_host_platform_device_count": 8, "xla_backend_optimization_level": 0}
os.environ.setdefault("JAX_PLATFORMS", "cpu")
for flag, value in FLAGS.items():
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{flag}={value}".strip()

import pathlib

import jax
import pytest

jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
    """Folder of parity data made by the original packages; see its README."""
    return pathlib.Path(__file__).parent / "golden"
