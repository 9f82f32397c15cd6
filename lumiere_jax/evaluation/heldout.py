"""Prompts that were never trained on, and clips of them as they would have been rendered."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from lumiere_jax.moving_shapes.captions import heldout_prompts, read_caption
from lumiere_jax.moving_shapes.rendering import render, render_frame
from lumiere_jax.moving_shapes.scenes import WORDS, place

CHANCE = {kind: 1 / len(words) for kind, words in WORDS.items()}
"""How often a word is right that was drawn from its list."""
MOMENTS = 16  # of a clip, at one of which a single frame is taken


def spread_prompts(count: int, seed: int) -> list[str]:
    """Held-out prompts, every combination once before any comes again; the order is the seed's."""
    every, rng = heldout_prompts(), np.random.default_rng(seed)
    rounds = -(-count // len(every))
    order = np.concatenate([rng.permutation(len(every)) for _ in range(rounds)])
    return [every[number] for number in order[:count]]


def rendered(prompt: str, frames: int, size: int, key: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """A true clip [t, h, w, 3] of a prompt, its object at a place that the key names.

    A single frame is one of the clip's, not its first: there, what grows is always small.
    """
    rng = np.random.default_rng(key)
    scene = place(read_caption(prompt), rng)
    if frames == 1:
        return render_frame(scene, int(rng.integers(MOMENTS)), MOMENTS, size)[None]
    return render(scene, frames, size)
