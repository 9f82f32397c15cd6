"""Checkpoints of others as the parts of a model, with the settings that they were made for."""

from __future__ import annotations

from typing import Any

from etils import epath

from lumiere_jax.checkpoints.model_folder import Model, Part, check_text_widths
from lumiere_jax.checkpoints.scheduler import scheduler_config
from lumiere_jax.checkpoints.t5 import read_t5
from lumiere_jax.checkpoints.tensor_folder import is_tensors_file
from lumiere_jax.checkpoints.tokenizer_file import find_tokenizer
from lumiere_jax.checkpoints.unet import read_unet, sample_size
from lumiere_jax.diffusion.config import DiffusionConfig
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.models.config import UNetConfig
from lumiere_jax.structure import to_dict

TOKENS = 77
"""Number of tokens that IF was trained with; its output depends on it, padding included."""


def import_diffusers(
    path: epath.PathLike, *, name: str | None = None, variant: str | None = None, dtype: Any = None
) -> Model:
    """Return the model of a U-Net folder, or of a pipeline.

    A pipeline has a folder `unet`, and may have `scheduler` and `text_encoder`.

    Args:
      path: U-Net or pipeline that `read_unet` can read.
      name: name of the U-Net in the model; `base`, or `ssr` for a super-resolution U-Net, when
        None.
      variant: name of a variant, such as `fp16`, if the folder holds several.
      dtype: storage dtype; None keeps the files'.

    Raises:
      FileNotFoundError: no U-Net at `path`.
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
    """Return a model with a T5 encoder, of Hugging Face or t5x, as its part `text`.

    Its tokenizer is `bytes` for ByT5, and otherwise the path of `spiece.model` beside the encoder,
    even if that file is missing.

    Args:
      path: T5 encoder that `read_t5` can read.
      variant: name of a variant, such as `fp16`, if the folder holds several.
      dtype: storage dtype; None keeps the files'.
    """
    config, params = read_t5(path, variant=variant, dtype=dtype)
    tokenizer = "bytes" if config.vocabulary_size == 384 else find_tokenizer(path)
    settings = {"tokenizer": tokenizer, "length": TOKENS}
    return Model(parts={"text": Part(config=config, params=params, settings=settings)})


def _settings(path: epath.PathLike, config: UNetConfig) -> dict[str, Any]:
    """Return the pipeline's settings of diffusion and sampling; IF's own if it has none."""
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
    settings = {"diffusion": to_dict(diffusion), "sampler": to_dict(sampler), "frames": 1}
    settings["size"] = sample_size(path) or (256 if stage_two else 64)
    if stage_two:
        settings |= {"augmentation": 0.25, "upsampling": "align_corners"}
    return settings


def without_learned_variance(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with a fixed variance: an inflated model has not learned its own."""
    sampler = dict(settings.get("sampler", {}))
    if sampler.get("variance") == "learned":
        sampler["variance"] = "small"
    return {**settings, "sampler": sampler}
