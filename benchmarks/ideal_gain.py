"""What the word for a direction could add at most: the errors of a perfect denoiser.

    python -m benchmarks.ideal_gain --scenes=12 --candidates=1500

For one kind of scene, moving left, the clean clip that minimises the squared error is the mean of
all renderings, each weighted by how likely it makes the noisy clip. It is taken over as many random
ones as asked for, once of the true direction and once of the opposite. Printed are both errors by
diffusion time, and by how much the wrong word is worse: what `benchmarks.word_gain` measures of a
model. Where the true error is small, the noisy clip itself tells the motion, and a sampler that
comes there with a wrong one does not turn round.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from absl import flags
from jaxtyping import Float

from lumiere_jax.diffusion import DiffusionConfig
from lumiere_jax.moving_shapes.rendering import render
from lumiere_jax.moving_shapes.scenes import Attributes, place
from lumiere_jax.one_line_errors import run

TIMES = (0.6, 0.7, 0.8, 0.9, 0.93, 0.95, 0.97, 0.99)
FRAMES, SIZE = 16, 32


def renderings(
    motion: str, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "count pixels"]:
    """Red squares on dark that move so, in [-1, 1], at random places."""
    told = Attributes(colour="red", shape="square", motion=motion, background="dark")
    clips = [render(place(told, rng), FRAMES, SIZE) for _ in range(count)]
    return np.stack(clips).reshape(count, -1).astype(np.float32) / 127.5 - 1


def posterior_mean(
    noisy: Float[np.ndarray, "n pixels"],
    candidates: Float[np.ndarray, "c pixels"],
    alpha: float,
    sigma: float,
) -> Float[np.ndarray, "n pixels"]:
    """E[clean | noisy] where all candidates were equally likely and noisy = alpha·clean + noise."""
    # |noisy - alpha·candidate|² without what is the same for all candidates, in float64: large
    # numbers of which small differences count.
    square = np.einsum("cp,cp->c", candidates, candidates, dtype=np.float64)
    product = (noisy @ candidates.T).astype(np.float64)
    log_likelihood = (alpha * product - alpha**2 * square / 2) / sigma**2
    weights = np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    return weights.astype(np.float32) @ candidates


def gains(scenes: int, candidates: int, seed: int = 0) -> Iterator[tuple[float, float, float]]:
    """(time, error with the true direction, error with the opposite one), for each of TIMES."""
    rng = np.random.default_rng(seed)
    clean = renderings("left", scenes, rng)
    known = [renderings(motion, candidates, rng) for motion in ("left", "right")]
    for time in TIMES:
        alpha, sigma = (float(level) for level in DiffusionConfig().alpha_sigma(time))
        noise = rng.standard_normal(clean.shape, np.float32)
        noisy = np.float32(alpha) * clean + np.float32(sigma) * noise
        means = (posterior_mean(noisy, each, alpha, sigma) for each in known)
        true, opposite = (float(np.mean((mean - clean) ** 2)) for mean in means)
        yield time, true, opposite


def define_flags() -> None:
    """Flags, only where this file is the program: tests import it beside others."""
    flags.DEFINE_integer("scenes", 12, "Clips to denoise.", 1)
    flags.DEFINE_integer("candidates", 1500, "Renderings of either direction.", 2)


def main(_: list[str]) -> None:
    """Flags in, a table out."""
    print(f"{'time':>6}{'told left':>12}{'told right':>12}{'gain, per cent':>16}")
    for time, true, opposite in gains(flags.FLAGS.scenes, flags.FLAGS.candidates):
        print(f"{time:6g}{true:12.5f}{opposite:12.5f}{100 * (opposite / true - 1):16.0f}")


if __name__ == "__main__":
    define_flags()
    run(main)
