"""Run every application of a model of the synthetic set on a held-out scene, at its base's size.

    python -m launch.applications --model=data/demo --output=runs/demo/applications

Writes an mp4, a contact sheet and a JSON for each, and `applications.png` with all of them, in
pairs of rows: the input and the result. Each takes seconds on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from absl import flags, logging
from etils import epath

from lumiere_jax import Lumiere
from lumiere_jax.checkpoints.style import Style
from lumiere_jax.generated import Generated
from lumiere_jax.loaded_model import load_style
from lumiere_jax.moving_shapes.dataset import Attributes, place, prompt, render
from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.parallel import use_compilation_cache
from lumiere_jax.video import check_output, write_contact_sheet

GIVEN = Attributes(colour="green", shape="square", motion="right", background="light")
EDITED = "a purple star moves right on a light background"
# The shipped style has blue backgrounds; a prompt for a light one contradicts it.
STYLED = "a purple star moves up on a dark background"


class Shown(NamedTuple):
    """Name, input and result of an application."""

    name: str
    given: np.ndarray | None
    made: Generated


def applications(model: Lumiere, style: Style | None, **options: Any) -> Iterator[Shown]:
    """Run each application, and yield its result."""
    settings = model.cascade.base.settings
    scene = place(GIVEN, np.random.default_rng(4))
    clip = render(scene, settings.frames, settings.size)
    text, still = prompt(GIVEN), np.repeat(clip[len(clip) // 2][None], len(clip), axis=0)
    side = settings.size
    half = (side // 2, 0, side, side)
    yield Shown("text_to_video", None, model.text_to_video(text, seed=1, **options))
    yield Shown("image_to_video", clip[:1], model.image_to_video(text, clip[0], **options))
    hidden = clip.copy()
    hidden[:, :, side // 2 :] = 255
    yield Shown("inpaint", hidden, model.inpaint(text, clip, boxes=[half], **options))
    cut = clip[:, side // 8 : -side // 8, side // 8 : -side // 8]
    yield Shown("outpaint", cut, model.outpaint(text, cut, padding=(side // 8,) * 4, **options))
    middle = (0, side // 4, side, 3 * side // 4)
    moving = model.cinemagraph(text, still[0], boxes=[middle], **options)
    yield Shown("cinemagraph", still[:1], moving)
    yield Shown("edit", clip, model.edit(EDITED, clip, strength=0.9, **options))
    if style is not None:
        yield Shown("stylize", None, model.stylize(STYLED, style, seed=1, **options))


def main(_: list[str]) -> None:
    """Run the applications of the model that the flags name."""
    logging.set_verbosity(logging.WARNING)
    values = flags.FLAGS
    check_output(values.output)
    use_compilation_cache()
    model = Lumiere.load(values.model).base_alone()
    samplers = model.samplers(**({"steps": values.steps} if values.steps else {}))
    style = find_style(values.model, values.style)
    show(applications(model, style, samplers=samplers, progress=False), epath.Path(values.output))


def find_style(model: epath.PathLike, asked: str | None) -> Style | None:
    """Return the requested style, or else the model's own; None if it has none.

    Raises:
      FileNotFoundError: there is no such style.
    """
    own = epath.Path(model) / "style"
    return load_style(asked) if asked else load_style(own) if own.exists() else None


def show(shown: Iterator[Shown], output: epath.Path) -> None:
    """Save every clip as soon as it is sampled, and then a sheet of all clips.

    Raises:
      FileExistsError: the output folder is not empty.
    """
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"--output={output} is not empty; give a new folder")
    videos, captions, start = [], [], time.monotonic()
    for name, given, made in shown:
        made.save(output / name)
        print(f"  {name:16} {time.monotonic() - start:5.1f} s   {output / name}.mp4", flush=True)
        start = time.monotonic()
        if given is not None:
            videos.append(_fitted(given, made.video))
            captions.append(f"{name}: given")
        videos.append(made.video)
        captions.append(f"{name}: {made.prompt}")
    write_contact_sheet(output / "applications.png", _enlarged(videos), captions)
    print(f"  all of them      {output / 'applications.png'}")


def _fitted(given: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the input in the middle of white frames of the result's size."""
    frame = np.full((len(given), *made.shape[1:]), 255, np.uint8)
    top, left = ((made.shape[i] - given.shape[i]) // 2 for i in (1, 2))
    frame[:, top : top + given.shape[1], left : left + given.shape[2]] = given
    return frame


def _enlarged(videos: list[np.ndarray], factor: int = 2) -> list[np.ndarray]:
    return [video.repeat(factor, axis=1).repeat(factor, axis=2) for video in videos]


def define_flags() -> None:
    """Define the flags, only when this file is the program: tests import it beside others."""
    define_path("model", "data/demo", "Model folder, or a training run.")
    define_path("style", None, "Style; <model>/style by default, if there is one.")
    define_path("output", "runs/demo/applications", "Folder for the clips.")
    flags.DEFINE_integer("steps", None, "Denoising steps; the model's own by default.", 1)


if __name__ == "__main__":
    define_flags()
    run(main)
