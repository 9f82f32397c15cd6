"""The networks of a model by what they are for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np

from lumiere_jax.models import T5Config, UNetConfig
from lumiere_jax.weights.model_folder import Model, Part


def check_text_widths(model: Model) -> None:
    """Every U-Net that names a text encoder can read its states.

    Raises:
      ValueError: the widths differ.
    """
    for name, part in model.parts.items():
        encoder = model.parts.get(part.settings.get("text"))
        if encoder is not None and encoder.config.width != part.config.text_dim:
            raise ValueError(
                f"{name} reads text states of width {part.config.text_dim}, but the encoder's are "
                f"{encoder.config.width} wide; use the encoder it was trained with"
            )


def unet_part(model: Model, name: str | None) -> tuple[str, Part]:
    """The U-Net of that name, or the only one.

    Raises:
      ValueError: no such U-Net, or several to choose from.
    """
    unets = {key: part for key, part in model.parts.items() if isinstance(part.config, UNetConfig)}
    if name is None and len(unets) == 1:
        return next(iter(unets.items()))
    if name not in unets:
        raise ValueError(f"--name={name}: choose one of {', '.join(unets) or 'no U-Nets'}")
    return name, unets[name]


def text_part(model: Model) -> Part:
    """The model's text encoder.

    Raises:
      ValueError: it has none.
    """
    for part in model.parts.values():
        if isinstance(part.config, T5Config):
            return part
    raise ValueError(f"no text encoder among {', '.join(model.parts)}")


def replace_part(model: Model, name: str, part: Part) -> Model:
    """The model with another part under that name."""
    return dataclasses.replace(model, parts={**model.parts, name: part})


def stage_parts(
    name: str, unet: Part, text: Part | None, known: Mapping[str, Part]
) -> dict[str, Part]:
    """A trained stage as parts beside the `known` ones; equal text encoders are kept once.

    Args:
      name: of the stage.
      unet: its U-Net.
      text: its text encoder, if it has one.
      known: parts of other stages.
    """
    if text is None:
        return {name: unet}
    same = [key for key, part in known.items() if _equal(part, text)]
    free = "text" if "text" not in known else f"text_{name}"
    key = same[0] if same else free
    unet = dataclasses.replace(unet, settings={**unet.settings, "text": key})
    return {key: text, name: unet}


def _equal(first: Part, second: Part) -> bool:
    if (first.config, first.settings) != (second.config, second.settings):
        return False
    pairs = zip(jax.tree.leaves(first.params), jax.tree.leaves(second.params), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)
