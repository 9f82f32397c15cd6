"""How much each word of a prompt helps a model to denoise: what it has learnt to hear.

    python -m benchmarks.word_gain --model=runs/demo/image --clips=64

Held-out clips of the synthetic set are noised and denoised, once with their own prompt and once
with one word exchanged for another of its kind; printed is how much larger that makes the squared
error of the clean estimate, in per cent, at several diffusion times. A model that does not hear a
word has 0 there, whatever its loss.

"direction" exchanges left and right, up and down, on the clips that move so. Of an image model,
single frames are measured.
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
from lumiere_jax.evaluation.heldout import rendered
from lumiere_jax.moving_shapes.captions import prompt
from lumiere_jax.moving_shapes.scenes import WORDS, Attributes, combinations
from lumiere_jax.one_line_errors import run

TIMES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}
BATCH = 16


def exchange(attributes: Attributes, kind: str, rng: np.random.Generator) -> Attributes | None:
    """The attributes with one word exchanged; None where there is nothing to exchange."""
    if kind == "direction":
        opposite = OPPOSITE.get(attributes.motion)
        return opposite and dataclasses.replace(attributes, motion=opposite)
    others = [word for word in WORDS[kind] if word != getattr(attributes, kind)]
    return dataclasses.replace(attributes, **{kind: str(rng.choice(others))})


def error_of(model: Lumiere) -> Callable[..., np.ndarray]:
    """A function from clips, their prompts and a time to the squared error of each clip."""
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
            clean = jnp.asarray(clips[batch], jnp.float32) / 127.5 - 1
            text = cascade.encode(prompts[batch])
            times = jnp.full((len(clean),), time)
            found.append(error(base.params, clean, text, times, jax.random.key(first)))
        return np.concatenate(found)

    return errors


def gains(model: Lumiere, count: int, seed: int = 0) -> dict[str, list[float]]:
    """Per cent of error that exchanging a word of each kind adds, one number a time of TIMES."""
    rng = np.random.default_rng(seed)
    choices = combinations("heldout")
    scenes = [choices[number] for number in rng.integers(len(choices), size=count)]
    settings = model.cascade.base.settings
    clips = np.stack(
        [
            rendered(prompt(scene), settings.frames, settings.size, key=(seed, number))
            for number, scene in enumerate(scenes)
        ]
    )
    errors = error_of(model)
    own = [errors(clips, [prompt(scene) for scene in scenes], time) for time in TIMES]
    table = {}
    for kind in (*WORDS, "direction"):
        exchanged = [exchange(scene, kind, rng) for scene in scenes]
        told = np.array([scene is not None for scene in exchanged])
        prompts = [prompt(new or old) for new, old in zip(exchanged, scenes)]
        rows = zip((errors(clips, prompts, time) for time in TIMES), own)
        table[kind] = [float(100 * (new[told].mean() / old[told].mean() - 1)) for new, old in rows]
    return table


def define_flags() -> None:
    """Flags, only where this file is the program: tests import it beside others."""
    flags.DEFINE_string("model", "data/demo", "A model folder, or a run, of the synthetic set.")
    flags.DEFINE_integer("clips", 64, "Held-out clips, or frames.", 2)


def main(_: list[str]) -> None:
    """Flags in, a table out."""
    model = Lumiere.load(flags.FLAGS.model)
    print("per cent of squared error that a wrong word adds, by diffusion time")
    print(f"{'':12}" + "".join(f"{time:8g}" for time in TIMES))
    for kind, row in gains(model, flags.FLAGS.clips).items():
        print(f"{kind:12}" + "".join(f"{value:8.1f}" for value in row))


if __name__ == "__main__":
    define_flags()
    run(main)
