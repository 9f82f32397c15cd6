"""The flags of `lumiere_jax.sample`, and their conversion to a call of a method of `Lumiere`.

A flag that the application does not use is refused: ignoring a mask without a message could waste
an hour of sampling.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from absl import flags

from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.one_line_errors import define_path
from lumiere_jax.sampling.request import check_seed
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.structure import from_dict
from lumiere_jax.text.reading import read_lines

FLAGS = flags.FLAGS

# Application → method of Lumiere, flag of its main argument, other flags that it uses.
APPLICATIONS: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "text_to_video": ("text_to_video", None, ("shot",)),
    "image_to_video": ("image_to_video", "image", ("shot", "conditioning", "strength")),
    "inpaint": ("inpaint", "video", ("mask", "box", "polygon", "conditioning")),
    "outpaint": ("outpaint", "video", ("aspect", "padding", "conditioning")),
    "cinemagraph": ("cinemagraph", "image", ("mask", "box", "polygon", "conditioning")),
    "edit": ("edit", "video", ("strength",)),
    "stylize": ("stylize", "style", ("alpha", "shot")),
    "continuation": ("continue_video", "video", ("keep", "shot", "conditioning")),
    "upscale": ("upscale", "upscale", ()),
}
MAIN = {
    "image": "photo.jpg",
    "video": "clip.mp4",
    "style": "runs/demo/style",
    "upscale": "clip.mp4",
}
SPECIAL = sorted({name for _, _, uses in APPLICATIONS.values() for name in uses} | set(MAIN))
SETTINGS = {
    kind: {f.name for f in dataclasses.fields(kind)} for kind in (SamplerConfig, StageConfig)
}
REQUIRED = {SamplerConfig: {}, StageConfig: {"diffusion": {}, "frames": 1, "size": 64}}
# Flags of the super-resolution stages; --set changes these settings of the base.
REFINING = ("window", "overlap", "window_weights", "tile", "tile_overlap", "augmentation")


# Kind, name, default and help of each flag.
INPUT_FLAGS = (
    ("path", "model", None, "Model folder, or a training run such as runs/demo."),
    ("multi_string", "prompt", [], "Description of a clip; repeat it for several clips."),
    ("path", "prompts", None, "Text file with one prompt a line."),
    ("multi_string", "shot", [], "Prompt of a shot; repeat it for several shots in one clip."),
    ("string", "negative_prompt", "", "Description of what the clips should not show."),
    ("integer", "seed", 0, "Seed of the first clip, in [0, 2**32); later clips use seed + 1, …"),
    ("integer", "frames", None, "Number of frames of a clip; as in training by default."),
    ("path", "image", None, "Picture; its centre square is resized to the model's size."),
    ("path", "video", None, "Video, from its first frame; resized to the model's size."),
    ("path", "mask", None, "Picture or video, white where to paint or to move."),
    ("multi_string", "box", [], "left,top,right,bottom in pixels: a rectangle, instead of a mask."),
    ("multi_string", "polygon", [], "x,y,x,y,x,y… in pixels: a polygon, instead of a mask."),
    ("string", "aspect", None, "Aspect ratio to outpaint a video to, such as 16:9."),
    ("string", "padding", None, "left,top,right,bottom: pixels to outpaint on each side."),
    ("float", "strength", None, "Noise level that an edit starts from, in (0, 1]; 1 is all noise."),
    ("integer", "keep", None, "Number of last frames of --video that a continuation begins with."),
    ("path", "style", None, "Style folder, or a run of the style stage."),
    ("list", "alpha", [], "Strength of the style, in [0, 1]; several values give a sheet."),
    ("path", "upscale", None, "Video to refine by super-resolution alone."),
)
SAMPLING_FLAGS = (
    ("string", "sampler", None, "Sampler of every stage: ddim, ddpm, dpm_solver, heun, …"),
    ("integer", "steps", None, "Number of denoising steps of every stage."),
    ("float", "guidance_scale", None, "Guidance scale of every stage; 1 for no guidance."),
    ("integer", "jump_length", None, "Steps of a resampling jump (RePaint); 0 for none."),
    ("integer", "jump_repeats", None, "Number of times that the steps of a jump are run."),
    ("multi_string", "set", [], "STAGE.SETTING=VALUE of one stage, such as ssr.steps=10."),
    ("integer", "window", None, "Frames that super-resolution processes at a time."),
    ("integer", "overlap", None, "Frames that neighbouring windows of super-resolution share."),
    ("string", "window_weights", None, "Weights of those windows: uniform, ramp or gaussian."),
    ("integer", "tile", None, "Pixels per side of the tiles of super-resolution."),
    ("integer", "tile_overlap", None, "Pixels that neighbouring tiles share."),
    ("float", "augmentation", None, "Noise level of the clip to refine, in [0, 1)."),
)
CONDITIONING = (
    "trained (default): the network, fine-tuned on observed videos, gets the observed video; free: "
    "for any model, the observed pixels are kept without passing them to the network."
)


def define(values: flags.FlagValues = FLAGS) -> None:
    """Define the flags in `values`."""
    application = ("application", "text_to_video", list(APPLICATIONS), "Application to run.")
    flags.DEFINE_enum(*application, flag_values=values)
    conditioning = ("conditioning", None, ["trained", "free"], CONDITIONING)
    flags.DEFINE_enum(*conditioning, flag_values=values)
    for kind, name, default, words in INPUT_FLAGS + SAMPLING_FLAGS:
        if kind == "path":
            define_path(name, default, words, values)
            continue
        getattr(flags, f"DEFINE_{kind}")(name, default, words, flag_values=values)


def method() -> str:
    """Return the name of the method of `Lumiere` that the flags select."""
    return APPLICATIONS[_application()][0]


def arguments() -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of that method, except for the prompt and the seed.

    Raises:
      ValueError: the flag of the main argument is missing, or the application does not use a flag.
    """
    application = _application()
    _, main, uses = APPLICATIONS[application]
    _refuse_others(application, {main, *uses})
    if main is not None and not FLAGS[main].value:
        raise ValueError(f"--application={application} needs --{main}, such as {MAIN[main]}")
    options = {
        "negative": FLAGS.negative_prompt or None,
        "frames": FLAGS.frames,
        "conditioning": FLAGS.conditioning,
        "strength": FLAGS.strength,
        "keep": FLAGS.keep,
        "mask": FLAGS.mask,
        "boxes": [numbers("box", text, 4) for text in FLAGS.box],
        "polygons": [_pairs(numbers("polygon", text)) for text in FLAGS.polygon],
        "aspect": None if FLAGS.aspect is None else _aspect(FLAGS.aspect),
        "padding": None if FLAGS.padding is None else numbers("padding", FLAGS.padding, 4),
        "alpha": [_number("alpha", text) for text in FLAGS.alpha],
        "shots": list(FLAGS.shot),
    }
    given = {name: value for name, value in options.items() if value not in (None, [])}
    return [] if main is None else [FLAGS[main].value], given


def read_prompts() -> list[str]:
    """Return the prompts of the command line and of the file, in this order.

    Raises:
      ValueError: there are none, and the application is not super-resolution alone.
    """
    prompts = list(FLAGS.prompt)
    if FLAGS.prompts:
        prompts += [line for _, line in read_lines(FLAGS.prompts, "--prompts")]
    if not prompts and FLAGS.shot:
        prompts = [", then ".join(FLAGS.shot)]
    if not prompts and _application() == "upscale":
        prompts = [""]  # super-resolution may read no text
    if not prompts:
        raise ValueError('a prompt is missing: give --prompt="…", or --prompts=file')
    return prompts


def check_seeds(clips: int) -> None:
    """Raise a ValueError unless the first and the last clip's seeds lie in [0, 2**32)."""
    check_seed(FLAGS.seed)
    check_seed(FLAGS.seed + clips - 1)


def sampler_changes() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return changes of every stage's sampler, and changes of single stages' by name."""
    names = ("sampler", "steps", "guidance_scale", "jump_length", "jump_repeats")
    every = {name: FLAGS[name].value for name in names if FLAGS[name].value is not None}
    return every, _changes_of(SamplerConfig)


def stage_changes(refining: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return changes of the stages' settings, by name.

    Args:
      refining: names of the super-resolution stages.

    Raises:
      ValueError: a flag of super-resolution, and the model has no such stage.
    """
    named = {"window_weights": "weights"}
    values = {
        named.get(name, name): FLAGS[name].value
        for name in REFINING
        if FLAGS[name].value is not None
    }
    changes = {name: dict(values) for name in refining} if values else {}
    if values and not changes:
        raise ValueError(
            f"--{next(iter(values))}: this model has no super-resolution stage; "
            "for the base use --set=base.…"
        )
    for stage, fields in _changes_of(StageConfig).items():
        changes[stage] = changes.get(stage, {}) | fields
    return changes


@contextlib.contextmanager
def named_by_flags() -> Iterator[None]:
    """Put `--` before the name of a setting in an error message if a flag has set it."""
    try:
        yield
    except ValueError as error:
        found = re.match(r"(\w+)=", str(error))
        name = {"weights": "window_weights"}.get(found[1], found[1]) if found else ""
        if name in FLAGS and FLAGS[name].present:
            rest = str(error).partition("=")[2]
            raise ValueError(f"--{name}={rest}") from None
        raise


def numbers(flag: str, text: str, count: int | None = None) -> tuple[float, ...]:
    """Parse numbers with commas between them.

    Args:
      flag: name of the flag, for the messages.
      text: value of the flag.
      count: expected number of numbers; any when None.

    Raises:
      ValueError: the text is not numbers, or not `count` of them.
    """
    found = tuple(_number(flag, part) for part in text.replace(" ", ",").split(",") if part)
    if count is not None and len(found) != count:
        raise ValueError(f"--{flag}={text}: {len(found)} numbers, expected {count}")
    return found


def _application() -> str:
    """Return the application; --upscale=clip.mp4 alone selects it."""
    return "upscale" if FLAGS.upscale else FLAGS.application


def _refuse_others(application: str, used: set[str | None]) -> None:
    for name in SPECIAL:
        if name not in used and FLAGS[name].value not in (None, []):
            having = [key for key, (_, main, uses) in APPLICATIONS.items() if name in (main, *uses)]
            raise ValueError(
                f"--{name} is not used by --application={application}; it belongs to "
                f"{', '.join(having)}"
            )


def _changes_of(kind: type) -> dict[str, dict[str, Any]]:
    """Return the changes of --set to fields of a dataclass, by stage."""
    changes: dict[str, dict[str, Any]] = {}
    for text in FLAGS.set:
        place, _, value = text.partition("=")
        stage, _, field = place.partition(".")
        if not stage or not value or not any(field in names for names in SETTINGS.values()):
            raise ValueError(
                f"--set={text}: expected STAGE.SETTING=VALUE such as ssr.steps=10; settings are "
                + ", ".join(sorted(set().union(*SETTINGS.values())))
            )
        if field in SETTINGS[kind]:
            change = {field: _parse(value)}
            from_dict(kind, REQUIRED[kind] | change, f"--set={stage}")  # the right type?
            changes.setdefault(stage, {}).update(change)
    return changes


def _parse(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None if text == "None" else text


def _number(flag: str, text: str) -> float:
    try:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        raise ValueError(f"--{flag}={text}: {text!r} is not a number") from None


def _pairs(values: tuple[float, ...]) -> list[tuple[float, float]]:
    if len(values) % 2:
        raise ValueError(f"--polygon has {len(values)} numbers; corners are x,y each")
    return list(zip(values[::2], values[1::2]))


def _aspect(text: str) -> float:
    width, _, height = text.partition(":")
    below = _number("aspect", height or "1")
    if below <= 0:
        raise ValueError(f"--aspect={text}: try --aspect=16:9")
    return _number("aspect", width) / below
