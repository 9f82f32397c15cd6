r"""Makes clips with a trained model.

python -m lumiere_jax.sample --model=runs/demo --output=clips \
    --prompt="a red circle bounces on a dark background" --seed=0

Several --prompt flags, or a file with one prompt a line (--prompts), make several clips. Each
becomes an mp4, a contact sheet and a JSON with everything needed to make it again, under the next
free number in --output; nothing is written over.
"""

from __future__ import annotations

import re
import sys

from absl import app, flags, logging
from etils import epath

MODEL = flags.DEFINE_string("model", None, "Model folder, or a training run such as runs/demo.")
PROMPT = flags.DEFINE_multi_string("prompt", [], "What to show; repeat it for several clips.")
PROMPTS = flags.DEFINE_string("prompts", None, "Text file with one prompt a line.")
NEGATIVE = flags.DEFINE_string("negative_prompt", "", "What not to show.")
SEED = flags.DEFINE_integer("seed", 0, "Of the first clip; the others count on from it.", 0)
OUTPUT = flags.DEFINE_string("output", "clips", "Folder for the clips.")
FRAMES = flags.DEFINE_integer("frames", None, "Of a clip; as trained by default.", 1)
BATCH = flags.DEFINE_integer("batch", 4, "Clips made at a time.", 1)
SAMPLER = flags.DEFINE_string("sampler", None, "ddim, ddpm, dpm_solver, heun …, of every stage.")
STEPS = flags.DEFINE_integer("steps", None, "Denoising steps of every stage.", 1)
GUIDANCE = flags.DEFINE_float("guidance_scale", None, "Of every stage; 1 is none.")
GIF = flags.DEFINE_bool("gif", False, "Write a GIF as well.")
PREVIEW = flags.DEFINE_integer("preview", 0, "Write a contact sheet every so many steps.", 0)


def main(_: list[str]) -> None:
    """Flags in, clips out."""
    from lumiere_jax.lumiere import Lumiere
    from lumiere_jax.parallel import use_compilation_cache

    try:
        if MODEL.value is None:
            raise ValueError("--model is missing: name a model folder, or a run such as runs/demo")
        prompts = read_prompts()
        use_compilation_cache()
        model = Lumiere.load(MODEL.value)
        options = {"samplers": model.samplers(**sampler_changes()), **preview_options()}
        for start in range(0, len(prompts), BATCH.value):
            clips = model.text_to_video(
                prompts[start : start + BATCH.value],
                seed=SEED.value + start,
                negative=NEGATIVE.value,
                frames=FRAMES.value,
                **options,
            )
            for clip in clips:
                for path in clip.save(next_stem(epath.Path(OUTPUT.value)), gif=GIF.value):
                    print(path)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        if logging.level_debug():
            raise
        sys.exit(f"error: {error}")


def read_prompts() -> list[str]:
    """The prompts of the command line and of the file, in this order."""
    prompts = list(PROMPT.value)
    if PROMPTS.value:
        path = epath.Path(PROMPTS.value)
        if not path.is_file():
            raise FileNotFoundError(f"--prompts={path}: no such file")
        prompts += [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if not prompts:
        raise ValueError('there is nothing to show: give --prompt="…", or --prompts=file')
    return prompts


def sampler_changes() -> dict:
    """Sampler settings that the command line changes."""
    flags_given = {
        "sampler": SAMPLER.value,
        "steps": STEPS.value,
        "guidance_scale": GUIDANCE.value,
    }
    return {name: value for name, value in flags_given.items() if value is not None}


def preview_options() -> dict:
    """Writes the clean estimate as a contact sheet while the clip is being made."""
    if not PREVIEW.value:
        return {}
    from lumiere_jax.video import write_contact_sheet

    folder = next_stem(epath.Path(OUTPUT.value), suffix="-preview")
    folder.mkdir(parents=True)

    def write(stage: str, step: int, clips) -> None:
        # A later batch has the same steps: number what comes again.
        path, count = folder / f"{stage}-{step:04d}.png", 1
        while path.exists():
            path, count = folder / f"{stage}-{step:04d}-{count}.png", count + 1
        write_contact_sheet(path, list(clips))

    return {"preview_every": PREVIEW.value, "on_preview": write}


def next_stem(folder: epath.Path, suffix: str = "") -> epath.Path:
    """`folder`/clip-00007 after clip-00006, whatever its endings: a prompt never names a file."""
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    numbers = [int(found[1]) for name in names if (found := re.match(r"clip-(\d+)", name))]
    return folder / f"clip-{max(numbers, default=-1) + 1:05d}{suffix}"


if __name__ == "__main__":
    app.run(main)
