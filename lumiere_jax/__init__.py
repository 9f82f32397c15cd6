"""Lumiere, the space-time diffusion model for video generation, in JAX.

Importing the package imports nothing else: a data worker that needs the video reader must not
start JAX, and with it an accelerator.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Lumiere"]


def __getattr__(name: str) -> Any:
    if name == "Lumiere":
        from lumiere_jax.lumiere import Lumiere

        return Lumiere
    raise AttributeError(f"module 'lumiere_jax' has no attribute {name!r}")
