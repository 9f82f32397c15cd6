"""Gain of a model's denoising from each word of a prompt: the words that it responds to.

    python -m benchmarks.word_gain --model=runs/demo/image --clips=64

Held-out clips of the synthetic set are noised and denoised, once with their own prompt and once
with one word exchanged for another of its kind. Prints by how many per cent that increases the
squared error of the clean estimate, at several diffusion times. A model that does not respond to a
word has 0 there, whatever its loss.

"direction" exchanges left and right, up and down, on the clips with these motions. An image model
is measured on single frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from lumiere_jax import Lumiere
from lumiere_jax.diffusion import Conditions
from lumiere_jax.diffusion.denoiser import denoiser_from_network
from lumiere_jax.evaluation.moving_shapes import MovingShapesProvider
from lumiere_jax.moving_shapes.captions import prompt
from lumiere_jax.moving_shapes.scenes import WORDS, Attributes, combinations
from lumiere_jax.one_line_errors import run
from lumiere_jax.video import from_uint8

TIMES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}
BATCH = 16


def exchange(attributes: Attributes, kind: str, rng: np.random.Generator) -> Attributes | None:
    """Return the attributes with one word exchanged; None if the motion has no opposite."""
    if kind == "direction":
        opposite = OPPOSITE.get(attributes.motion)
        return opposite and dataclasses.replace(attributes, motion=opposite)
    others = [word for word in WORDS[kind] if word != getattr(attributes, kind)]
    return dataclasses.replace(attributes, **{kind: str(rng.choice(others))})


def error_of(model: Lumiere) -> Callable[..., np.ndarray]:
    """Return a function from clips, their prompts and a time to the squared error of each clip."""
    base, cascade = model.cascade.base, model.cascade

    @jax.jit
    def error(params, clean, text, time, key):
        noise = jax.random.normal(key, clean.shape)
        alpha, sigma = base.settings.diffusion.levels(time, clean)
        denoise = denoiser_from_network(base.network.apply, params, base.settings.diffusion)
        estimate = denoise(alpha * clean + sigma * noise, time, Conditions(text=text)).clean
        return jnp.mean((estimate - clean) ** 2, (1, 2, 3, 4))

    def errors(clips: np.ndarray, prompts: Sequence[str], time: float) -> np.ndarray:
        found = []
        for first in range(0, len(clips), BATCH):
            batch = slice(first, first + BATCH)
            clean = from_uint8(jnp.asarray(clips[batch]))
            text = cascade.encode(prompts[batch])
            times = jnp.full((len(clean),), time)
            found.append(error(base.params, clean, text, times, jax.random.key(first)))
        return np.concatenate(found)

    return errors


def gains(model: Lumiere, count: int, seed: int = 0) -> dict[str, list[float]]:
    """Return by kind of word the per cent of error that exchanging it adds, at each of TIMES."""
    rng = np.random.default_rng(seed)
    choices = combinations("heldout")
    scenes = [choices[number] for number in rng.integers(len(choices), size=count)]
    settings, provider = model.cascade.base.settings, MovingShapesProvider()
    clips = np.stack(
        [
            provider.clip(prompt(scene), settings.frames, settings.size, key=(seed, number))
            for number, scene in enumerate(scenes)
        ]
    )
    errors = error_of(model)
    own = [errors(clips, [prompt(scene) for scene in scenes], time) for time in TIMES]
    table = {}
    for kind in (*WORDS, "direction"):
        exchanged = [exchange(scene, kind, rng) for scene in scenes]
        changed = np.array([scene is not None for scene in exchanged])
        prompts = [prompt(new or old) for new, old in zip(exchanged, scenes)]
        rows = zip((errors(clips, prompts, time) for time in TIMES), own)
        table[kind] = [
            float(100 * (new[changed].mean() / old[changed].mean() - 1)) for new, old in rows
        ]
    return table


def define_flags() -> None:
    """Define the flags, only when this file is the program: tests import it beside others."""
    flags.DEFINE_string("model", "data/demo", "A model folder, or a run, of the synthetic set.")
    flags.DEFINE_integer("clips", 64, "Held-out clips, or frames.", 2)


def main(_: list[str]) -> None:
    """Print the table for the flags."""
    model = Lumiere.load(flags.FLAGS.model)
    print("per cent of squared error that a wrong word adds, by diffusion time")
    print(f"{'':12}" + "".join(f"{time:8g}" for time in TIMES))
    for kind, row in gains(model, flags.FLAGS.clips).items():
        print(f"{kind:12}" + "".join(f"{value:8.1f}" for value in row))


if __name__ == "__main__":
    define_flags()
    run(main)
