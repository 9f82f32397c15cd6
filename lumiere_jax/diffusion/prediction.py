"""What networks predict, and how each turns into the clean clip and the noise.

All three say the same about x = alpha * clean + sigma * noise; they differ in what a network finds
easy, and in which errors the loss counts. velocity = alpha * noise - sigma * clean (Salimans & Ho
2022) is the one that is well-conditioned at both ends.
"""

from __future__ import annotations

from jaxtyping import Array, Float

from lumiere_jax.diffusion.estimate import Estimate

Clip = Float[Array, "b ..."]


def target(kind: str, clean: Clip, noise: Clip, alpha: Clip, sigma: Clip) -> Clip:
    """What a network of this kind should predict."""
    if kind == "noise":
        return noise
    if kind == "clean":
        return clean
    return alpha * noise - sigma * clean


def to_estimate(kind: str, predicted: Clip, x: Clip, alpha: Clip, sigma: Clip) -> Estimate:
    """The clean clip and the noise that `predicted` implies for x.

    Args:
      kind: "noise", "velocity" or "clean".
      alpha, sigma: levels that broadcast against x; alpha > 0 for "noise", sigma > 0 for "clean".
    """
    if kind == "noise":
        return Estimate(clean=(x - sigma * predicted) / alpha, noise=predicted)
    if kind == "clean":
        return Estimate(clean=predicted, noise=(x - alpha * predicted) / sigma)
    return Estimate(clean=alpha * x - sigma * predicted, noise=sigma * x + alpha * predicted)


def from_estimate(kind: str, estimate: Estimate, alpha: Clip, sigma: Clip) -> Clip:
    """What a network of this kind would have predicted to say `estimate`."""
    return target(kind, estimate.clean, estimate.noise, alpha, sigma)
