"""A whole cascade of a few thousand random parameters, as a model in memory."""

import jax
import numpy as np

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.models import T5Config, TemporalConfig, UNetConfig, network
from lumiere_jax.weights import Model, Part

TEXT = T5Config(vocabulary_size=384, width=32, feed_forward=32, heads=2, head_dim=8, layers=1)
SAMPLER = SamplerConfig(steps=3, guidance_scale=2.0)


def unet(**changes) -> UNetConfig:
    """A two-level U-Net of eight channels, with time and text."""
    options = dict(
        channels=(8, 8),
        blocks=(1, 1),
        attention=(False, True),
        head_dim=8,
        groups=4,
        text_dim=32,
        pool_heads=2,
        text_mask=True,
        temporal=TemporalConfig(head_dim=8, attention_layers=1),
    )
    return UNetConfig(**(options | changes))


def part(config, seed: int, **settings) -> Part:
    """A network with every parameter random, zero starts included."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: np.asarray(rng.normal(size=leaf.shape) * 0.1, np.float32),
        network(config).shapes(),
    )
    return Part(config=config, params=params, settings=settings)


def tiny_model(*, refined: bool = False, observed: bool = False, name: str = "tiny") -> Model:
    """Base of 4 frames of 8×8, and where `refined` an SSR to 16×16 in windows of 2 frames."""
    options = {"diffusion": {}, "sampler": {"steps": 3, "guidance_scale": 2.0}}
    parts = {
        "text": part(TEXT, 0, tokenizer="bytes", length=8),
        "base": part(unet(observed=observed), 1, frames=4, size=8, **options),
    }
    if refined:
        config = unet(low_resolution=True, augmentation=True, self_attention=False)
        window = {"frames": 2, "size": 16, "overlap": 1}
        # One temporal resize: windows of 2 frames are the shortest it takes.
        parts["ssr"] = part(config, 2, **window, **options)
    stages = [stage for stage in parts if stage != "text"]
    settings = {"name": name, "frame_rate": 16, "stages": stages}
    return Model(parts=parts, settings=settings)


__all__ = ["SAMPLER", "TEXT", "DiffusionConfig", "part", "tiny_model", "unet"]
