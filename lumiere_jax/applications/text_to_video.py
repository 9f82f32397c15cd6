"""Text-to-video: nothing is observed, and denoising starts from noise (Lumiere, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lumiere_jax.sampling.request import Request


def text_to_video(prompts: Sequence[str], seeds: Sequence[int], **options: Any) -> Request:
    """The request for clips of these prompts.

    Args:
      prompts, seeds: one a clip.
      **options: of `Request`: negative (what not to show), frames (more than the base was trained
        on are made window by window), shots (for each clip, prompts that follow one another).
    """
    return Request(prompts=prompts, seeds=seeds, **options)
