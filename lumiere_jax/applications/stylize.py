"""Stylised generation: text-to-video with spatial weights on the way to a style's.

The request is that of text-to-video. What changes are the weights of the base, and of those only
the spatial half (Lumiere, section 4): motion is what the base has learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lumiere_jax.applications.text_to_video import text_to_video
from lumiere_jax.checkpoints.style import Style, stylize_params
from lumiere_jax.models.network import Params
from lumiere_jax.sampling.cascade import Cascade
from lumiere_jax.sampling.request import Request


def stylize(prompts: Sequence[str], seeds: Sequence[int], **options: Any) -> Request:
    """The request for clips in a style; see `text_to_video`."""
    return text_to_video(prompts, seeds, **options)


def styled(cascade: Cascade, style: Style, alpha: float) -> dict[str, Params]:
    """The weights to make them with, for `Cascade.sample`: `alpha` of the way to the style."""
    return {cascade.base.name: stylize_params(cascade.base.params, style, alpha)}
