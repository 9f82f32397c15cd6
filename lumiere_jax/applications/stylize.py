"""Stylised generation: text-to-video with spatial parameters interpolated towards a style's.

The request is that of text-to-video. Only the spatial parameters of the base change (Lumiere,
section 4); its temporal parameters, and with them the motion, stay.
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
    """Build the request for clips in a style; see `text_to_video`."""
    return text_to_video(prompts, seeds, **options)


def styled(cascade: Cascade, style: Style, alpha: float) -> dict[str, Params]:
    """Return the base's parameters for `Cascade.sample`, interpolated by `alpha` to the style's."""
    return {cascade.base.name: stylize_params(cascade.base.params, style, alpha)}
