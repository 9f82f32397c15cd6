"""The three predictions of a network, and their conversion to the clean clip and the noise.

Given x = alpha * clean + sigma * noise, each of them determines the others; they differ in how hard
they are to learn, and in the errors that the loss counts. velocity = alpha * noise - sigma * clean
(Salimans & Ho 2022) is well-conditioned at both ends.
"""

from __future__ import annotations

from jaxtyping import Array, Float

from lumiere_jax.diffusion.estimate import Estimate

Clip = Float[Array, "b ..."]
Level = Float[Array, "b ..."] | float


def target(kind: str, clean: Clip, noise: Clip, alpha: Level, sigma: Level) -> Clip:
    """Return the training target of a network.

    Args:
      kind: prediction of the network: "noise", "velocity" or "clean".
      clean: clean clips.
      noise: noise of the clips, of unit variance.
      alpha: alpha of each clip, broadcast against it.
      sigma: sigma of each clip, broadcast against it.
    """
    if kind == "noise":
        return noise
    if kind == "clean":
        return clean
    return alpha * noise - sigma * clean


def to_estimate(kind: str, predicted: Clip, x: Clip, alpha: Level, sigma: Level) -> Estimate:
    """Return the clean clip and the noise that a prediction implies for x.

    Args:
      kind: prediction of the network: "noise", "velocity" or "clean".
      predicted: output of the network.
      x: noisy clips.
      alpha: alpha of each clip, broadcast against x; above 0 for "noise".
      sigma: sigma of each clip, broadcast against x; above 0 for "clean".
    """
    if kind == "noise":
        return Estimate(clean=(x - sigma * predicted) / alpha, noise=predicted)
    if kind == "clean":
        return Estimate(clean=predicted, noise=(x - alpha * predicted) / sigma)
    return Estimate(clean=alpha * x - sigma * predicted, noise=sigma * x + alpha * predicted)


def from_estimate(kind: str, estimate: Estimate, alpha: Level, sigma: Level) -> Clip:
    """Return the prediction of a network that implies `estimate`; see `target`."""
    return target(kind, estimate.clean, estimate.noise, alpha, sigma)
