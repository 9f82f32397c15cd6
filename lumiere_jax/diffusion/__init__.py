"""Diffusion: schedules, losses, denoisers and samplers, for any network.

config, sampler = DiffusionConfig(), SamplerConfig(sampler="dpm_solver", guidance_scale=7)
predict = denoiser_from_network(network.apply, params, config)
denoise = compose(predict, config, sampler, null=null_text)
clip = sample(denoise, noise, Conditions(text), config, sampler)
"""

from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.denoiser import compose, denoiser_from_network, hold
from lumiere_jax.diffusion.estimate import Conditions, Denoise, Estimate
from lumiere_jax.diffusion.guidance import guide
from lumiere_jax.diffusion.loss import diffusion_loss, loss_weight, stratified_times
from lumiere_jax.diffusion.multidiffusion import (
    Tiles,
    Windows,
    consensus,
    plan_tiles,
    plan_windows,
    window_weights,
)
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.diffusion.sampling import Hooks, sample
from lumiere_jax.diffusion.schedule import CLEAN
from lumiere_jax.diffusion.thresholding import dynamic_threshold, threshold
from lumiere_jax.diffusion.windowed import tiles, windows

__all__ = [
    "CLEAN",
    "Conditions",
    "Denoise",
    "DiffusionConfig",
    "Estimate",
    "Hooks",
    "SamplerConfig",
    "Tiles",
    "Windows",
    "compose",
    "consensus",
    "denoiser_from_network",
    "diffusion_loss",
    "dynamic_threshold",
    "guide",
    "hold",
    "loss_weight",
    "plan_tiles",
    "plan_windows",
    "sample",
    "stratified_times",
    "threshold",
    "tiles",
    "window_weights",
    "windows",
]
