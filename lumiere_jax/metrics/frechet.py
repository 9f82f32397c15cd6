"""The Fréchet distance between two sets of features: the last step of FVD.

Heusel et al. 2017 (images), Unterthiner et al. 2018 (video):
‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), in float64, covariances divided by N − 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def frechet_distance(first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "m d"]) -> float:
    """Return the Fréchet distance of the Gaussians fitted to two sets of features.

    With Σ = RᵀR for each set, the trace of the root is the sum of the singular values of R₁R₂ᵀ.
    This forms no covariance, which would square the values: Σ √eigenvalues of Σ₁^½ Σ₂ Σ₁^½ is the
    same number, but has a relative error of 1e-6 for sets of fewer rows than dimensions. A negative
    result of rounding becomes 0.

    Raises:
      ValueError: sets of different widths, of fewer than two rows, or with values not finite.
    """
    first, second = (np.asarray(features, np.float64) for features in (first, second))
    _check(first, second)
    means = first.mean(0) - second.mean(0)
    factors = _covariance_factor(first), _covariance_factor(second)
    cross = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum((factor**2).sum() for factor in factors)
    return float(max(means @ means + traces - 2 * cross, 0))


def _covariance_factor(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "r d"]:
    """Return R, of min(n, d) rows, with RᵀR the covariance."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.linalg.qr(centred, mode="r")


def _check(first: np.ndarray, second: np.ndarray) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"features: {list(first.shape)} and {list(second.shape)}; expected [n, d] and [m, d]"
        )
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"features: {len(first)} and {len(second)} rows; a covariance needs two of each"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("features: not all are finite; look for clips that sampled to NaN")
