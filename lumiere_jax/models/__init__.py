"""Networks: the one U-Net in all its forms (image model, STUNet, SSR) and the T5 encoder."""

from lumiere_jax.models.network import Network, Params, network
from lumiere_jax.models.t5 import T5Config
from lumiere_jax.models.unet import TemporalConfig, UNetConfig

__all__ = ["Network", "Params", "T5Config", "TemporalConfig", "UNetConfig", "network"]
