"""The synthetic set as a provider: held-out prompts, clips rendered for them, measured words."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lumiere_jax.moving_shapes.captions import heldout_prompts, read_caption
from lumiere_jax.moving_shapes.motions import STRAIGHT
from lumiere_jax.moving_shapes.rendering import render, render_frame
from lumiere_jax.moving_shapes.scenes import WORDS, place
from lumiere_jax.moving_shapes.shapes import measure_frame, measure_scene

MOMENTS = 16  # frames of the clip from which a single frame is taken


class MovingShapesProvider:
    """Prompts that training never saw, and clips rendered for them; see `clips.Provider`."""

    reference = "scenes of the synthetic set rendered for the same prompts"

    def prompts(self, count: int, seed: int) -> list[str]:
        """Return held-out prompts in a random order, every combination once before any repeats."""
        every, rng = heldout_prompts(), np.random.default_rng(seed)
        rounds = -(-count // len(every))
        order = np.concatenate([rng.permutation(len(every)) for _ in range(rounds)])
        return [every[number] for number in order[:count]]

    def clip(
        self, prompt: str, frames: int, size: int, key: tuple[int, ...]
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Render a clip of a prompt; the key seeds the object's place, size, phase and direction.

        A single frame is a random one of the clip: in the first one, growing objects are small.
        """
        rng = np.random.default_rng(key)
        scene = place(read_caption(prompt), rng)
        if frames == 1:
            return render_frame(scene, int(rng.integers(MOMENTS)), MOMENTS, size)[None]
        return render(scene, frames, size)

    def score(self, video: UInt8[np.ndarray, "t h w 3"], prompt: str) -> dict[str, Any]:
        """Measure the four words and the number of objects of a clip or of a single frame.

        A single frame has a motion only where the prompt names a straight one, whose direction the
        trail shows.
        """
        single, expected = video.shape[0] == 1, read_caption(prompt)
        found = measure_frame(video[0]) if single else measure_scene(video)
        agrees = found.agrees(expected)
        if single and expected.motion not in STRAIGHT:
            del agrees["motion"]
        measured = dataclasses.asdict(found)
        measured["objects"] = [min(found.objects), max(found.objects)]
        return {"measured": measured, "agrees": agrees | {"all": all(agrees.values())}}

    def chance(self, frames: int) -> dict[str, float]:
        """Return the accuracy of a word that is drawn at random from its list."""
        chance = {kind: 1 / len(words) for kind, words in WORDS.items()}
        return chance | ({"motion": 1 / len(STRAIGHT)} if frames == 1 else {})
