"""The networks of a model by what they are for."""

from __future__ import annotations

import dataclasses

from lumiere_jax.models import T5Config, UNetConfig
from lumiere_jax.weights.model_folder import Model, Part


def unet_part(model: Model, name: str | None) -> tuple[str, Part]:
    """Return the U-Net of that name, or the only one.

    Raises:
      ValueError: no such U-Net, or several to choose from.
    """
    unets = {key: part for key, part in model.parts.items() if isinstance(part.config, UNetConfig)}
    if name is None and len(unets) == 1:
        return next(iter(unets.items()))
    if name not in unets:
        raise ValueError(f"--name={name}: choose one of {', '.join(unets) or 'no U-Nets'}")
    return name, unets[name]


def stage_names(model: Model) -> list[str]:
    """Return the names of the U-Nets that run one after the other."""
    unets = [name for name, part in model.parts.items() if isinstance(part.config, UNetConfig)]
    return list(model.settings.get("stages") or unets)


def text_part(model: Model) -> Part:
    """Return the model's text encoder.

    Raises:
      ValueError: it has none.
    """
    for part in model.parts.values():
        if isinstance(part.config, T5Config):
            return part
    raise ValueError(f"no text encoder among {', '.join(model.parts)}")


def replace_part(model: Model, name: str, part: Part) -> Model:
    """Return the model with another part under that name."""
    return dataclasses.replace(model, parts={**model.parts, name: part})
