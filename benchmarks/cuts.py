"""Recall and false positives of cut detectors in films with known cuts.

    python -m benchmarks.cuts --films=20

Prints for every kind of film and every detector the recall, or, if the films have no cuts, the
number of false positives in 100 films; then precision and recall over all films. "hard bins" is the
detector before it had soft histograms. If PySceneDetect is installed (the extra `scenedetect`), its
detectors are measured in the same run, with their own settings except for the shortest scene, which
is one frame, as ours is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np
from absl import flags
from PIL import Image

from benchmarks.rendered_shots import FILMS
from lumiere_jax.one_line_errors import run
from lumiere_jax.video import find_cuts

FILM_COUNT = flags.DEFINE_integer("films", 20, "Films of each kind.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the films.")
Detector = Callable[[Iterable[np.ndarray]], list[int]]


def hard_bins(frames: Iterable[np.ndarray]) -> list[int]:
    """Find cuts by thumbnails and histograms of 16 hard bins: the detector until November 2026."""
    described = []
    for frame in frames:
        thumbnail = Image.fromarray(frame).resize((16, 16), Image.Resampling.BOX)
        counts = [np.bincount(c, minlength=16) for c in (frame // 16).reshape(-1, 3).T]
        described.append(
            (np.asarray(thumbnail, np.float32) / 255, np.stack(counts) / counts[0].sum())
        )
    changes: list[float | None] = [None, None, None]
    for before, after in itertools.pairwise(described):
        pixels = np.abs(after[0] - before[0]).mean()
        changes.append(np.sqrt(pixels * np.abs(after[1] - before[1]).sum(-1).mean() / 2))
    changes += [None, None]
    cuts = []
    for index in range(3, len(changes) - 2):
        around = [
            c for c in changes[index - 2 : index] + changes[index + 1 : index + 3] if c is not None
        ]
        usual = sum(around) / len(around) if around else 0.0
        if changes[index] > 0.1 and changes[index] > 2.2 * usual:
            cuts.append(index - 2)
    return cuts


def detectors() -> dict[str, Detector]:
    """Return the detectors that are installed, by name."""
    found: dict[str, Detector] = {"hard bins": hard_bins, "ours": find_cuts}
    try:
        import scenedetect
    except ImportError:
        return found
    from lumiere_jax.video.scenedetect import find_cuts_with

    found["Adaptive"] = lambda f: find_cuts_with(scenedetect.AdaptiveDetector(min_scene_len=1), f)
    found["Content"] = lambda f: find_cuts_with(scenedetect.ContentDetector(min_scene_len=1), f)
    return found


def measure(films: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Return (cuts, cuts found, false positives) by detector and kind of film."""
    results: dict[str, dict[str, np.ndarray]] = {}
    for kind, render in FILMS.items():
        rng = np.random.default_rng([seed, *kind.encode()])
        rendered = [render(rng) for _ in range(films)]
        for name, detect in detectors().items():
            counts = np.zeros(3, int)
            for film in rendered:
                found, right = set(detect(film.frames)), set(film.cuts)
                counts += len(right), len(found & right), len(found - right)
            results.setdefault(name, {})[kind] = counts
    return results


def main(_) -> None:
    """Print the table."""
    results = measure(FILM_COUNT.value, SEED.value)
    print(f"{'':26s}" + "".join(f"{name:>14s}" for name in results))
    for kind in FILMS:
        cells = []
        for by_kind in results.values():
            there, found, invented = by_kind[kind]
            share = (
                f"{100 * found / there:.0f} %"
                if there
                else f"{100 * invented / FILM_COUNT.value:.0f}"
            )
            cells.append(share + (f" (+{invented})" if there and invented else ""))
        print(f"{kind:26s}" + "".join(f"{cell:>14s}" for cell in cells))
    totals = {name: sum(by_kind.values()) for name, by_kind in results.items()}
    for word, place in (("recall", 0), ("precision", 2)):
        shares = [t[1] / max(t[1] + (t[2] if place else t[0] - t[1]), 1) for t in totals.values()]
        print(f"{word:26s}" + "".join(f"{100 * share:>12.1f} %" for share in shares))


if __name__ == "__main__":
    run(main)
