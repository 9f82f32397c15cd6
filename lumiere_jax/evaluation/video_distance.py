"""FVD of the clips against reference clips of the same prompts, with two distances to scale it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.evaluation.clips import Provider
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.metrics.frechet import frechet_distance
from lumiere_jax.metrics.i3d import SHORTEST, Rule, i3d_logits
from lumiere_jax.metrics.i3d_weights import read_i3d_weights

Features = Callable[[np.ndarray], np.ndarray]


def chosen_frames(frames: int, wanted: int) -> np.ndarray:
    """Return the numbers of the frames to compare: from the first, as far apart as possible."""
    return np.arange(wanted) * (frames // wanted)


def i3d_features(frames: int, resize: Rule, weights: epath.PathLike | None) -> Features:
    """Return the function from clips to I3D's logits, after checking frames and checkpoint.

    Args:
      frames: T, frames of each clip that are compared.
      resize, weights: resize rule and checkpoint, see `metrics.i3d_logits`.

    Raises:
      FileNotFoundError: the checkpoint is not installed.
      ValueError: too few frames, or an unknown checkpoint.
    """
    if frames < SHORTEST:
        raise ValueError(f"--fvd_frames={frames}: I3D needs {SHORTEST} or more; --fvd_frames=16")
    read_i3d_weights(weights)
    return lambda videos: i3d_logits(videos, resize, weights=weights, progress=True)


def distances(
    provider: Provider,
    folder: ResultsFolder,
    names: Sequence[str],
    prompts: Sequence[str],
    *,
    seed: int,
    frames: int,
    features: Features,
) -> dict[str, float]:
    """Return Fréchet distances of three sets of clips to the same set of reference clips.

    Args:
      provider: source of the reference clips.
      folder: folder of the clips; features are stored there too.
      names: names of the clips in the folder.
      prompts: prompt of each clip.
      seed: seed of the reference clips and of the shuffling.
      frames: T, frames of each clip that are compared.
      features: function from uint8 [n, t, h, w, 3] to [n, d].

    Returns:
      "generated": distance of the clips. "rendered": distance of other reference clips of the same
      prompts, which is the lowest that a perfect model reaches. "shuffled": distance of those with
      their frames out of order.
    """
    total, size = folder.read(names[0]).shape[:2]
    chosen = chosen_frames(total, frames)

    def reference_set(take: int) -> UInt8[np.ndarray, "n t h w 3"]:
        keys = [(seed, number, take) for number in range(len(prompts))]
        pairs = zip(prompts, keys, strict=True)
        return np.stack([provider.clip(prompt, total, size, key)[chosen] for prompt, key in pairs])

    sets = {
        "generated": lambda: np.stack([folder.read(name)[chosen] for name in names]),
        "reference": lambda: reference_set(1),
        "rendered": lambda: reference_set(2),
        "shuffled": lambda: shuffled(reference_set(2), seed),
    }
    made = {
        name: folder.array(f"fvd-{name}", lambda videos=videos: features(videos()))
        for name, videos in sets.items()
    }
    reference = made.pop("reference")
    return {name: frechet_distance(each, reference) for name, each in made.items()}


def shuffled(videos: UInt8[np.ndarray, "n t h w 3"], seed: int) -> UInt8[np.ndarray, "n t h w 3"]:
    """Shuffle the frames of every clip, each in an order of its own."""
    rng = np.random.default_rng(seed)
    return np.stack([video[rng.permutation(len(video))] for video in videos])
