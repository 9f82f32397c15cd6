"""Other people's checkpoints as the parts of a model, with the settings they were made for."""

from __future__ import annotations

from typing import Any

from etils import epath

from lumiere_jax.checkpoints.dataclass_json import to_json
from lumiere_jax.checkpoints.model_folder import Model, Part, check_text_widths
from lumiere_jax.checkpoints.scheduler import scheduler_config
from lumiere_jax.checkpoints.t5 import read_t5
from lumiere_jax.checkpoints.tensor_folder import is_tensors_file
from lumiere_jax.checkpoints.tokenizer_file import find_tokenizer
from lumiere_jax.checkpoints.unet import read_unet, sample_size
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.models.config import UNetConfig

TOKENS = 77
"""Tokens that IF was trained with; its output depends on their number, padding included."""


def import_diffusers(
    path: epath.PathLike, *, name: str | None = None, variant: str | None = None, dtype: Any = None
) -> Model:
    """Return the model of a U-Net folder, or of a pipeline's.

    A pipeline has `unet`, and perhaps `scheduler` and `text_encoder`.

    Args:
      path: what `read_unet` reads.
      name: of the U-Net in the model; `base`, or `ssr` for a super-resolution U-Net, when None.
      variant: such as `fp16`, where a folder holds several.
      dtype: storage dtype; None keeps the files'.

    Raises:
      FileNotFoundError: nothing of that kind there.
      ValueError: not a U-Net of IF, a scheduler that we do not compute, or a text encoder of
        another width than the U-Net reads.
    """
    options = {"variant": variant, "dtype": dtype}
    config, params = read_unet(path, **options)
    name = name or ("ssr" if config.low_resolution else "base")
    settings = _settings(path, config)
    parts = {name: Part(config=config, params=params, settings=settings)}
    if (epath.Path(path) / "text_encoder").exists():
        parts |= import_t5(path, **options).parts
    folder = epath.Path(path).parent if is_tensors_file(path) else epath.Path(path)
    model = Model(parts=parts, settings={"name": folder.name, "stages": [name]})
    check_text_widths(model)
    return model


def import_t5(path: epath.PathLike, *, variant: str | None = None, dtype: Any = None) -> Model:
    """Return a T5 encoder, of Hugging Face or t5x, as the part `text`.

    Its tokenizer is `bytes` for ByT5; else `spiece.model` beside it, by its place; where there is
    none yet, the place where it should be.
    """
    config, params = read_t5(path, variant=variant, dtype=dtype)
    tokenizer = "bytes" if config.vocabulary_size == 384 else find_tokenizer(path)
    settings = {"tokenizer": tokenizer, "length": TOKENS}
    return Model(parts={"text": Part(config=config, params=params, settings=settings)})


def _settings(path: epath.PathLike, config: UNetConfig) -> dict[str, Any]:
    """Return the diffusion and the sampling of the pipeline, and IF's own where it does not say."""
    stage_two = config.low_resolution
    learned = config.out_channels == 2 * config.in_channels
    diffusion = DiffusionConfig(
        schedule="discrete_cosine", prediction="noise", learned_variance=learned
    )
    sampler = SamplerConfig(
        sampler="ddpm",
        steps=50 if stage_two else 100,
        spacing="leading",
        variance="learned" if learned else "small",
        guidance_scale=4.0 if stage_two else 7.0,
        threshold="dynamic",
        quantile=0.95,
        ceiling=1.0 if stage_two else 1.5,
    )
    diffusion, sampler = scheduler_config(path, config, diffusion, sampler)
    settings = {"diffusion": to_json(diffusion), "sampler": to_json(sampler), "frames": 1}
    settings["size"] = sample_size(path) or (256 if stage_two else 64)
    if stage_two:
        settings |= {"augmentation": 0.25, "upsampling": "align_corners"}
    return settings


def without_learned_variance(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings that sample with a fixed variance: an inflated model has not learned one."""
    sampler = dict(settings.get("sampler", {}))
    if sampler.get("variance") == "learned":
        sampler["variance"] = "small"
    return {**settings, "sampler": sampler}
