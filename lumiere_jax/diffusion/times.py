"""Times that a sampler visits: lists from noise to the clean clip, which may rise again.

All are on the grid of 1000 timesteps that imported parameters were trained on. The last entry is
CLEAN (below 0): the final step ends at the clean clip.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lumiere_jax.diffusion.schedule import CLEAN, TIMESTEPS, is_numpy

SPACINGS = ("trailing", "leading", "linspace")

# DeepFloyd IF's lists: the 1000 timesteps are cut into equal sections, and these are the numbers of
# timesteps kept of each, beginning at the clean end.
SECTIONS = {
    "fast27": (10, 10, 3, 2, 2),
    "smart27": (7, 4, 2, 1, 2, 4, 7),
    "smart50": (10, 6, 4, 3, 2, 2, 3, 4, 6, 10),
    "smart100": (*(1,) * 4, *(2,) * 6, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 10, 13),
    "smart185": (1, 1, 2, 2, 2, 3, 3, 3, 4, 5, *range(6, 17), 18, 20),
    "super27": (*(1,) * 7, 2, 5, 13),
    "super40": (*(2,) * 6, 3, 4, 6, 15),
    "super100": (4, 4, 6, 6, 8, 8, 10, 10, 14, 30),
}


def spaced_times(spacing: str, steps: int) -> Float[np.ndarray, " n"]:
    """Return the falling times of a number of steps, followed by CLEAN.

    Args:
      spacing: "trailing" starts at the last timestep, "leading" ends at the first, "linspace"
        does both (Lin et al., arXiv 2305.08891, table 2); or one of DeepFloyd IF's lists, e.g.
        "fast27", which fixes the number of steps.
      steps: number of steps, 1 to 1000; unused by those lists.
    """
    if spacing in SECTIONS:
        timesteps = _respaced(SECTIONS[spacing])
    elif spacing == "leading":
        timesteps = np.arange(steps) * (TIMESTEPS // steps)
    elif spacing == "trailing":
        timesteps = np.rint(TIMESTEPS - TIMESTEPS / steps * np.arange(steps))[::-1] - 1
    else:
        timesteps = np.rint(np.linspace(0, TIMESTEPS - 1, steps))
    return np.append(timesteps[::-1] / TIMESTEPS, CLEAN)


def _respaced(counts: tuple[int, ...]) -> np.ndarray:
    """Return rising timesteps, evenly spread over each section from its first to its last."""
    size, larger = divmod(TIMESTEPS, len(counts))
    timesteps, start = [], 0
    for section, count in enumerate(counts):
        length = size + (section < larger)
        stride = (length - 1) / max(count - 1, 1)
        # A sum, not a product: how DeepFloyd IF rounds an exact half depends on it.
        timesteps.append(start + np.rint(np.cumsum([0.0, *[stride] * (count - 1)])))
        start += length
    return np.concatenate(timesteps)


def shift_times(times: Any, shift: float) -> Any:
    """Move times along the cosine schedule to where its log-SNR is lower by -2 log(shift).

    The content that many frames share is decided at noise that hides each single frame: a shift
    below 1 puts more of the times there. The network still gets the time that its schedule assigns
    to the noise: the density of the times moves, whereas `DiffusionConfig.shift` moves the
    schedule. tan(angle) of the cosine schedule is sigma / alpha, which is divided by `shift`. Times
    below 0, 0 and 1 are unchanged.

    Args:
      times: NumPy or JAX numbers in [0, 1], or CLEAN.
      shift: divisor of sigma / alpha, e.g. 1/3; 1 for no change.
    """
    if shift == 1:
        return times
    numpy = np if is_numpy(times) else jnp
    angle = np.pi / 2 * numpy.maximum(times, 0)
    moved = numpy.arctan2(numpy.sin(angle), shift * numpy.cos(angle)) * (2 / np.pi)
    return numpy.where(times < 0, times, moved)


def shift_grid(times: Float[np.ndarray, " n"], shift: float) -> Float[np.ndarray, " m"]:
    """Shift a falling list as `shift_times` does, and round it to the grid without repetitions.

    Args:
      times: falling times on the grid, the last one CLEAN.
      shift: divisor of sigma / alpha, see `shift_times`.
    """
    if shift == 1:
        return times
    steps = np.rint(shift_times(times, shift) * TIMESTEPS).clip(-1, TIMESTEPS - 1).astype(int)
    return np.unique(steps)[::-1] / TIMESTEPS


def from_strength(times: Float[np.ndarray, "*n"], strength: float) -> Float[np.ndarray, "*n"]:
    """Return as many times, spread over the schedule below `strength`, for SDEdit.

    (Meng et al., arXiv 2108.01073.) The first time becomes `strength` of the last timestep, and the
    others keep their proportions, so that the number of steps does not depend on the strength. They
    stay on the grid of timesteps where it is fine enough to keep them distinct.

    Args:
      times: times from noise to CLEAN; a list, or pairs [n, 2].
      strength: noise level of the start, in (0, 1].

    Raises:
      ValueError: `strength` is outside (0, 1].
    """
    if not 0 < strength <= 1:
        nearest = 1.0 if strength > 1 else 0.1
        raise ValueError(f"--strength={strength} lies outside (0, 1]; use --strength={nearest}")
    factor = strength * (1 - 1 / TIMESTEPS) / times.flat[0]
    scaled = np.where(times < 0, times, times * factor)
    on_grid = np.where(times < 0, times, np.rint(scaled * TIMESTEPS) / TIMESTEPS)
    return on_grid if len(np.unique(on_grid)) == len(np.unique(times)) else scaled


def with_jumps(
    times: Float[np.ndarray, " n"], length: int, repeats: int
) -> Float[np.ndarray, " m"]:
    """Repeat every stretch of `length` steps, with noise added again in between.

    RePaint (Lugmayr et al., arXiv 2201.09865, sec. 4.2): further steps reconcile new pixels with
    held ones. The list rises wherever it jumps back.

    Args:
      times: falling times, the last one CLEAN.
      length: steps of a stretch; 0 leaves the times unchanged.
      repeats: number of times that each stretch is run; 1 leaves the times unchanged.
    """
    if not length or repeats == 1:
        return times
    stretches = []
    for start in range(0, len(times) - 1, length):
        stretches += [times[start : start + length + 1]] * repeats
    # Consecutive stretches share a time; a jump's two ends differ.
    joined = np.concatenate(stretches)
    return joined[np.append(True, np.diff(joined) != 0)]
