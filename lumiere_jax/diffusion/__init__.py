"""Diffusion: schedules, losses, denoisers and samplers. Knows nothing of networks.

denoise = denoiser_from_network(network.apply, params, DiffusionConfig())
"""

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.denoiser import denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.loss import diffusion_loss, loss_weight, stratified_times

__all__ = [
    "Conditions",
    "Denoise",
    "DiffusionConfig",
    "Estimate",
    "denoiser_from_network",
    "diffusion_loss",
    "loss_weight",
    "stratified_times",
]
