"""Text-to-video: nothing is observed, and denoising starts from noise (Lumiere, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lumiere_jax.sampling.request import Request


def text_to_video(prompts: Sequence[str], seeds: Sequence[int], **options: Any) -> Request:
    """Build the request for clips of these prompts.

    Args:
      prompts, seeds: prompt and seed of each clip.
      **options: further fields of `Request`: negative (content to avoid), frames (more than the
        base was trained on are sampled in windows), shots (consecutive prompts within each clip).
    """
    return Request(prompts=prompts, seeds=seeds, **options)
