"""Reading and writing of parameters: in the formats of others, and in our model folder."""

from lumiere_jax.checkpoints.model_folder import (
    Model,
    Part,
    describe_model,
    read_model,
    write_model,
)
from lumiere_jax.checkpoints.t5 import read_t5, write_t5x
from lumiere_jax.checkpoints.unet import read_unet, read_unet_config, write_unet

__all__ = [
    "Model",
    "Part",
    "describe_model",
    "read_model",
    "read_t5",
    "read_unet",
    "read_unet_config",
    "write_model",
    "write_t5x",
    "write_unet",
]
