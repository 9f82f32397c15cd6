"""Settings and fixtures of all tests: eight fake CPU devices, exact float32 arithmetic."""

import importlib.metadata
import os

# Must be set before JAX starts its backend. Eight CPU devices form the meshes, and compilation
# dominates the suite: code that runs once need not be optimised.
FLAGS = {"xla_force_host_platform_device_count": 8, "xla_backend_optimization_level": 0}
if importlib.metadata.version("jaxlib").startswith("0.10."):
    # A third less compilation. A version that does not know the flag would end the process.
    FLAGS["xla_cpu_use_fusion_emitters"] = "false"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
for flag, value in FLAGS.items():
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{flag}={value}".strip()

import atexit
import pathlib
import shutil
import subprocess
import sys
import tempfile

# One cache of compiled programs for all tests of a run: the processes of pytest-xdist, and the
# commands that tests start, inherit it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="xla-of-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import hypothesis
import jax
import jaxtyping
import pytest

import tests.typechecker  # noqa: F401 (the hook below finds it by name)

# Before the library is imported: its array annotations are checked at every call.
jaxtyping.install_import_hook("lumiere_jax", "tests.typechecker.check")

# The same examples every time, and no time limit per example: the speed of CI machines varies.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=60, database=None
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def unchecked(monkeypatch):
    """Leave array annotations unchecked: the test reads the library's own message."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
    """Return the folder of parity data from the original packages; see its README."""
    return pathlib.Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def fetch():
    """Return fetch(requirement, folder), which downloads the archive of one package."""

    def download(requirement: str, folder: pathlib.Path) -> pathlib.Path:
        options = ["download", "--no-deps", "-d", str(folder), requirement]
        run = subprocess.run(
            [sys.executable, "-m", "pip", *options], capture_output=True, text=True
        )
        if run.returncode:
            pytest.fail(
                f"pip cannot fetch {requirement}; leave out with -m 'not network':\n{run.stderr}"
            )
        (archive,) = folder.iterdir()
        return archive

    return download
