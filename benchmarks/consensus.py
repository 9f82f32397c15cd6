"""Cost of the consensus: its share of a denoising step, and the memory of long clips.

    python -m benchmarks.consensus --frames=80 --size=128 --window=16 --group=1 --channels=64,128

Times one windowed denoising step of a super-resolution network with random parameters, and the
same step with a denoiser that computes nothing, which leaves the cost of the windows: slicing,
weighting, summing. Prints both, their ratio, and the compiled temporaries of this clip and of one a
fifth as long (which differ only by the clip's own buffers).
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from lumiere_jax.diffusion import (
    Conditions,
    Denoise,
    DiffusionConfig,
    Estimate,
    Windows,
    denoiser_from_network,
    plan_windows,
    window_weights,
    windows,
)
from lumiere_jax.models import TemporalConfig, UNetConfig, network
from lumiere_jax.one_line_errors import run

FRAMES = flags.DEFINE_integer("frames", 80, "Frames of the clip.")
SIZE = flags.DEFINE_integer("size", 128, "Side of the square frames, in pixels.")
WINDOW = flags.DEFINE_integer("window", 16, "Frames of the network's input.")
OVERLAP = flags.DEFINE_integer("overlap", 2, "Frames that neighbouring windows share.")
GROUP = flags.DEFINE_integer("group", 1, "Windows at a time.")
CHANNELS = flags.DEFINE_list("channels", "64,128", "Channels of each level of the network.")
PATCH = flags.DEFINE_integer("patch", 2, "Pixels a side folded into channels at the stem.")
REPEATS = flags.DEFINE_integer("repeats", 3, "Runs of each; the fastest counts.")


def windowed_step(denoise: Denoise, plan: Windows, group: int) -> Any:
    """Return the compiled function (x, low_resolution) -> reconciled estimate of the whole clip."""
    windowed = windows(denoise, plan, group=group, weights=window_weights(plan, "ramp"))

    @jax.jit
    def step(x, low_resolution):
        conditions = Conditions(low_resolution=low_resolution)
        return windowed(x, jnp.full(x.shape[:1], 0.5), conditions)

    return step


def nothing(x, time, conditions: Conditions) -> Estimate:
    """Return an estimate without computation, so that a step costs only the consensus."""
    return Estimate(conditions.low_resolution, x)


def measure(
    denoise: Denoise, plan: Windows, size: int, *, group: int = 1, repeats: int = 3
) -> dict[str, float]:
    """Return the seconds of a denoising step of the whole clip, and of the consensus within it.

    Args:
      denoise: denoiser of `plan.size` frames of size × size pixels, with a low-resolution clip.
      plan: windows of the clip.
      size: pixels per side.
      group: windows at a time.
      repeats: runs of each; the fastest counts.
    """
    shape = (1, plan.frames, size, size, 3)
    x, low = (jax.random.normal(jax.random.key(i), shape) for i in range(2))
    seconds = {
        name: fastest(windowed_step(each, plan, group), (x, low), repeats)
        for name, each in (("step", denoise), ("consensus", nothing))
    }
    return {**seconds, "share": seconds["consensus"] / seconds["step"]}


def fastest(function: Any, arguments: tuple, repeats: int) -> float:
    """Return the seconds of the fastest run, without compilation."""
    jax.block_until_ready(function(*arguments))
    runs = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        runs.append(time.perf_counter() - begin)
    return min(runs)


def temporary_bytes(denoise: Denoise, plan: Windows, size: int, group: int) -> int:
    """Return the temporary memory of the compiled step, without running it."""
    clip = jax.ShapeDtypeStruct((1, plan.frames, size, size, 3), jnp.float32)
    compiled = windowed_step(denoise, plan, group).lower(clip, clip).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def super_resolution() -> Denoise:
    """Return the denoiser of an SSR network with the channels and patch of the flags."""
    channels = tuple(map(int, CHANNELS.value))
    resize = (False,) * (len(channels) - 1)
    config = UNetConfig(
        channels=channels,
        blocks=(1,) * len(channels),
        attention=(False,) * len(channels),
        low_resolution=True,
        patch=PATCH.value,
        temporal=TemporalConfig(resize=resize),
    )
    net = network(config)
    return denoiser_from_network(net.apply, net.init(jax.random.key(0)), DiffusionConfig())


def main(_: list[str]) -> None:
    plan = plan_windows(FRAMES.value, WINDOW.value, OVERLAP.value)
    denoise = super_resolution()
    seconds = measure(denoise, plan, SIZE.value, group=GROUP.value, repeats=REPEATS.value)
    print(f"{jax.devices()[0].device_kind}: {plan.frames}×{SIZE.value}×{SIZE.value}, ", end="")
    print(f"{len(plan)} windows of {plan.size}, groups of {GROUP.value}")
    print(f"denoising step  {seconds['step'] * 1e3:10.2f} ms")
    print(f"consensus       {seconds['consensus'] * 1e3:10.2f} ms   {seconds['share']:.2%}")
    for frames in (max(FRAMES.value // 5, WINDOW.value), FRAMES.value):
        shorter = plan_windows(frames, WINDOW.value, OVERLAP.value)
        memory = temporary_bytes(denoise, shorter, SIZE.value, GROUP.value)
        print(f"temporaries of {frames:3d} frames  {memory / 2**20:10.1f} MiB")


if __name__ == "__main__":
    run(main)
