r"""Parameters, FLOPs and bytes of a configuration, counted without allocating anything.

python -m benchmarks.sizes --config=configs/deepfloyd_if.py:xl_base
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from absl import flags

from lumiere_jax.one_line_errors import run

CONFIG = flags.DEFINE_string("config", "configs/lumiere.py:base", "Configuration to count.")


def main(_: list[str]) -> None:
    """Print the sizes of --config."""
    from lumiere_jax.training.command_line import load_config, to_experiment

    for label, value in sizes(to_experiment(load_config(CONFIG.value))).items():
        print(f"{label:44} {value:12.5g}")


def sizes(experiment) -> dict[str, float]:
    """Count the U-Net's parameters in millions, TFLOP per clip, and GiB in bfloat16."""
    from lumiere_jax.models import network
    from lumiere_jax.models.stunet import spatial_params
    from lumiere_jax.text import Text
    from lumiere_jax.training.flops import count_flops

    config, data = experiment.model, experiment.data
    net = network(config, dtype=jnp.bfloat16)
    shapes = net.shapes()
    everything, spatial = _count(shapes), _count(spatial_params(shapes))

    def array(*shape):
        return jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    video = array(data.clip_frames, data.size, data.size, config.in_channels)
    text = None
    if config.text_dim is not None:
        text = Text(
            array(data.text_length, config.text_dim),
            jax.ShapeDtypeStruct((1, data.text_length), bool),
        )
    given = {"low_resolution": video} if config.low_resolution else {}
    given |= {"augmentation": array()} if config.augmentation else {}
    flops = count_flops(lambda *a: net.apply(*a, **given), shapes, video, array(), text)
    return {
        "spatial parameters, millions": spatial / 1e6,
        "video-only parameters, millions": (everything - spatial) / 1e6,
        f"forward pass of {data.clip_frames}×{data.size}×{data.size}, TFLOP": flops / 1e12,
        "weights in bfloat16, GiB": everything * 2 / 2**30,
    }


def _count(shapes) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


if __name__ == "__main__":
    run(main)
