r"""Memory of super-resolution on long clips: that of a group of windows, and that of the clip.

python -m benchmarks.memory --size=1024 --frames=16,80

Compiles the whole sampling program of a super-resolution stage (interpolation, noise, every step,
windows, consensus) for each length, and reads its temporary memory from the compiler. Nothing is
allocated or run. A straight line is fitted to memory by length: its slope is the number of copies
of the clip, and its intercept is the activations of a group of windows, which are independent of
the length.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.models import TemporalConfig, UNetConfig, network
from lumiere_jax.one_line_errors import run
from lumiere_jax.sampling import Stage, StageConfig

FACTOR = 8


def stage(
    size: int,
    sampler: str,
    *,
    window: int,
    group: int,
    channels: tuple[int, ...] = (8, 16),
    threshold: str = "dynamic",
) -> Stage:
    """Return a ×8 super-resolution with a stem of 8×8 pixels; its parameters are shapes only."""
    levels = len(channels)
    config = UNetConfig(
        channels=tuple(channels),
        blocks=(1,) * levels,
        attention=(False,) * levels,
        self_attention=False,
        head_dim=8,
        groups=4,
        low_resolution=True,
        augmentation=True,
        patch=FACTOR,
        temporal=TemporalConfig(head_dim=8, attention_layers=1, resize=(False,) * (levels - 1)),
    )
    settings = StageConfig(
        diffusion=DiffusionConfig(),
        sampler=SamplerConfig(sampler=sampler, steps=4, threshold=threshold),
        frames=window,
        size=size,
        factor=FACTOR,
        group=group,
    )
    net = network(config)
    return Stage("ssr", net, net.shapes(), settings)


def temporary_bytes(refiner: Stage, frames: int) -> int:
    """Return the temporary memory of refining a clip, without parameters and result."""
    side = refiner.settings.size // FACTOR
    low = jax.ShapeDtypeStruct((1, frames, side, side, 3), jnp.float32)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    sample = functools.partial(
        refiner.sample, text=None, null=None, frames=frames, sampler=refiner.settings.sampler
    )
    program = jax.jit(lambda params, keys, low: sample(keys, low_resolution=low, params=params))
    compiled = program.lower(refiner.params, keys, low).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def clip_bytes(size: int, frames: int) -> int:
    """Return the bytes of a clip in float32: 12.6 MB per frame of 1024×1024."""
    return 4 * 3 * frames * size * size


def line(size: int, memory: dict[int, int]) -> tuple[float, float]:
    """Fit a line to memory by number of frames; return its slope in clips, and its intercept."""
    lengths = [clip_bytes(size, frames) for frames in memory]
    clips, rest = np.polyfit(lengths, list(memory.values()), 1)
    return float(clips), float(rest)


def define_flags() -> None:
    """Define the flags, only when this file is the program: tests import it beside others."""
    flags.DEFINE_integer("size", 1024, "Pixels per side of the result.", 64)
    flags.DEFINE_list("frames", "16,80", "Lengths of clips to compile for.")
    flags.DEFINE_integer("window", 8, "Frames of the network's input.", 2)
    flags.DEFINE_integer("group", 1, "Windows at a time.", 1)
    flags.DEFINE_list("samplers", "ddim,ddpm,dpm_solver", "Samplers to compile.")
    flags.DEFINE_string("threshold", "dynamic", "none, static or dynamic.")
    flags.DEFINE_list("channels", "16,32", "Channels of each level of the network.")


def main(_: list[str]) -> None:
    channels = tuple(map(int, flags.FLAGS.channels))
    size, window, group = (flags.FLAGS[name].value for name in ("size", "window", "group"))
    print(f"{size}×{size}, windows of {window}, groups of {group}")
    for sampler in flags.FLAGS.samplers:
        refiner = stage(
            flags.FLAGS.size,
            sampler,
            window=flags.FLAGS.window,
            group=flags.FLAGS.group,
            channels=channels,
            threshold=flags.FLAGS.threshold,
        )
        memory = {int(n): temporary_bytes(refiner, int(n)) for n in flags.FLAGS.frames}
        clips, rest = line(flags.FLAGS.size, memory)
        shown = ", ".join(f"{n} frames {bytes_ / 2**20:.0f} MiB" for n, bytes_ in memory.items())
        print(f"{sampler:12} {shown}: {clips:.2f} clips and {rest / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
    define_flags()
    run(main)
