"""Largest possible gain from the word for a direction: the errors of a perfect denoiser.

    python -m benchmarks.ideal_gain --scenes=12 --candidates=1500

For one kind of scene, moving left, the clean clip that minimises the squared error is the mean of
all renderings, each weighted by the likelihood of the noisy clip given it. The mean is taken over
random renderings, once of the true direction and once of the opposite one. Prints both errors by
diffusion time, and by how much the wrong word increases the error, which is what
`benchmarks.word_gain` measures for a model. At times with a small true error the noisy clip itself
determines the motion, so a sampler that has a wrong motion there keeps it.
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
from lumiere_jax.video import from_uint8

TIMES = (0.6, 0.7, 0.8, 0.9, 0.93, 0.95, 0.97, 0.99)
FRAMES, SIZE = 16, 32


def renderings(
    motion: str, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "count pixels"]:
    """Render red squares with a motion on dark backgrounds at random places, in [-1, 1]."""
    scene = Attributes(colour="red", shape="square", motion=motion, background="dark")
    clips = [render(place(scene, rng), FRAMES, SIZE) for _ in range(count)]
    return from_uint8(np.stack(clips).reshape(count, -1))


def posterior_mean(
    noisy: Float[np.ndarray, "n pixels"],
    candidates: Float[np.ndarray, "c pixels"],
    alpha: float,
    sigma: float,
) -> Float[np.ndarray, "n pixels"]:
    """Return E[clean | noisy] for equally likely candidates; noisy = alpha·clean + sigma·noise."""
    # |noisy - alpha·candidate|² without the term that all candidates share, in float64: small
    # differences of large numbers matter.
    square = np.einsum("cp,cp->c", candidates, candidates, dtype=np.float64)
    product = (noisy @ candidates.T).astype(np.float64)
    log_likelihood = (alpha * product - alpha**2 * square / 2) / sigma**2
    weights = np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    return weights.astype(np.float32) @ candidates


def gains(scenes: int, candidates: int, seed: int = 0) -> Iterator[tuple[float, float, float]]:
    """Yield (time, error with the true direction, error with the opposite one) by time."""
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
    """Define the flags, only when this file is the program: tests import it beside others."""
    flags.DEFINE_integer("scenes", 12, "Clips to denoise.", 1)
    flags.DEFINE_integer("candidates", 1500, "Renderings of either direction.", 2)


def main(_: list[str]) -> None:
    """Print the table for the flags."""
    print(f"{'time':>6}{'word left':>12}{'word right':>12}{'gain, per cent':>16}")
    for time, true, opposite in gains(flags.FLAGS.scenes, flags.FLAGS.candidates):
        print(f"{time:6g}{true:12.5f}{opposite:12.5f}{100 * (opposite / true - 1):16.0f}")


if __name__ == "__main__":
    define_flags()
    run(main)
