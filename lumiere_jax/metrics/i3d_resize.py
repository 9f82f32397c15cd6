"""The three rules of bilinear resizing that published FVD numbers were made with."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

Rule = Literal["half_pixel", "align_corners", "legacy"]


def resize_matrix(size: int, target: int, rule: Rule) -> Float[np.ndarray, "target size"]:
    """The matrix that resizes a line of `size` pixels to `target` of them.

    Neighbours are weighted by distance and nothing is averaged away beforehand, also where
    lines shrink: that is what the published code does.

    Args:
      size, target: pixels before and after.
      rule: where the centre of pixel i of the target lies among those of the source.
        "half_pixel": (i + ½) size / target − ½; "legacy": i size / target, TensorFlow 1's default;
        "align_corners": i (size − 1) / (target − 1), both ends on each other.

    Raises:
      ValueError: an unknown rule.
    """
    check_rule(rule)
    number = np.arange(target)
    positions = {
        "half_pixel": (number + 0.5) * size / target - 0.5,
        "legacy": number * size / target,
        "align_corners": number * (size - 1) / max(target - 1, 1),
    }
    position = positions[rule].clip(0, size - 1)
    distance = np.abs(position[:, None] - np.arange(size))
    return np.maximum(1 - distance, 0).astype(np.float32)


def check_rule(rule: str) -> None:
    """Raises a ValueError that names the rules there are."""
    if rule not in get_args(Rule):
        raise ValueError(f"resize={rule!r} is none of {', '.join(get_args(Rule))}")
