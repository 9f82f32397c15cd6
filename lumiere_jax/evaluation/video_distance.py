"""FVD of the clips against rendered ones of the same prompts, with two numbers that scale it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from lumiere_jax.evaluation.heldout import rendered
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.metrics.frechet import frechet_distance

Features = Callable[[np.ndarray], np.ndarray]

REAL = "scenes of the synthetic set rendered for the same prompts"


def chosen_frames(frames: int, wanted: int) -> np.ndarray:
    """Numbers of the frames that are compared: as far apart as the clip allows, from its first."""
    return np.arange(wanted) * (frames // wanted)


def distances(
    folder: ResultsFolder,
    names: Sequence[str],
    prompts: Sequence[str],
    *,
    seed: int,
    frames: int,
    features: Features,
) -> dict[str, float]:
    """Fréchet distances from one set of rendered clips.

    Args:
      folder, names: where the clips are.
      prompts: of the clips.
      seed: of the rendered ones.
      frames: T, of each clip.
      features: uint8 [n, t, h, w, 3] -> [n, d].

    Returns:
      "generated": of the clips. "rendered": of other renderings of the same prompts, which is as
      near as a perfect model comes. "shuffled": of those with their frames out of order.
    """
    total, size = folder.read(names[0]).shape[:2]
    chosen = chosen_frames(total, frames)

    def render_set(take: int) -> UInt8[np.ndarray, "n t h w 3"]:
        keys = [(seed, number, take) for number in range(len(prompts))]
        pairs = zip(prompts, keys, strict=True)
        return np.stack([rendered(prompt, total, size, key)[chosen] for prompt, key in pairs])

    sets = {
        "generated": lambda: np.stack([folder.read(name)[chosen] for name in names]),
        "reference": lambda: render_set(1),
        "rendered": lambda: render_set(2),
        "shuffled": lambda: shuffled(render_set(2), seed),
    }
    made = {
        name: folder.array(f"fvd-{name}", lambda videos=videos: features(videos()))
        for name, videos in sets.items()
    }
    reference = made.pop("reference")
    return {name: frechet_distance(each, reference) for name, each in made.items()}


def shuffled(videos: UInt8[np.ndarray, "n t h w 3"], seed: int) -> UInt8[np.ndarray, "n t h w 3"]:
    """Every clip with its frames in an order of its own."""
    rng = np.random.default_rng(seed)
    return np.stack([video[rng.permutation(len(video))] for video in videos])
