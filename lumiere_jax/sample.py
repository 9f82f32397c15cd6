r"""Makes clips with a trained model: python -m lumiere_jax.sample --model=runs/demo --prompt="…"

Text to video, and several shots in one clip:
    --prompt="a red circle bounces on a dark background" --seed=0
    --shot="a red circle moves right" --shot="a red circle grows"
Image to video (--conditioning=free where the model was not fine-tuned on observed videos):
    --application=image_to_video --image=photo.jpg --prompt="waves roll in"
Inpainting and outpainting:
    --application=inpaint --video=clip.mp4 --mask=mask.png --prompt="a straw hat"
    --application=outpaint --video=clip.mp4 --aspect=16:9 --prompt="a beach"
Cinemagraph:
    --application=cinemagraph --image=photo.jpg --mask=smoke.png --prompt="smoke rises"
Video editing:
    --application=edit --video=clip.mp4 --strength=0.6 --prompt="made of wooden blocks"
Stylised generation, and a sheet over alpha:
    --application=stylize --style=runs/demo/style --alpha=0.7 --prompt="a fox runs"
    --application=stylize --style=runs/demo/style --alpha=0,0.5,0.7,1 --prompt="a fox runs"
Continuation, and super-resolution alone:
    --application=continuation --video=clip.mp4 --keep=20 --prompt="the fox jumps"
    --upscale=clip.mp4 --prompt="a fox runs"

Several --prompt flags, or a file with one prompt a line (--prompts), make several clips. Each
becomes an mp4, a contact sheet and a JSON with everything needed to make it again, under the next
free number in --output; nothing is written over. Single stages: --set=ssr.steps=10; --base_only
leaves the super-resolutions out.
"""

from __future__ import annotations

import re
import sys

from absl import app, flags, logging
from etils import epath

from lumiere_jax import sample_flags
from lumiere_jax.one_line_errors import one_line_errors

sample_flags.define()
flags.adopt_module_key_flags(sample_flags)  # or --help would leave them out
OUTPUT = flags.DEFINE_string("output", "clips", "Folder for the clips.")
BATCH = flags.DEFINE_integer("batch", 4, "Clips made at a time.", 1)
GIF = flags.DEFINE_bool("gif", False, "Write a GIF as well.")
BASE_ONLY = flags.DEFINE_bool("base_only", False, "Make clips of the base's size.")
PREVIEW = flags.DEFINE_integer("preview", 0, "Write a contact sheet every so many steps.", 0)


def main(_: list[str]) -> None:
    """Flags in, clips out."""
    from lumiere_jax.parallel import use_compilation_cache

    if not any(argument.startswith(("--verbosity", "-v", "--v")) for argument in sys.argv):
        logging.set_verbosity(logging.WARNING)  # Orbax tells a story at every load
    with one_line_errors():
        prompts = sample_flags.read_prompts()
        given, options = sample_flags.arguments()
        use_compilation_cache()
        model = load()
        every, single = sample_flags.sampler_changes()
        options |= {"samplers": model.samplers(single, **every), **preview_options()}
        make = getattr(model, sample_flags.method())
        for start in range(0, len(prompts), BATCH.value):
            batch = prompts[start : start + BATCH.value]
            clips = make(batch, *given, seed=flags.FLAGS.seed + start, **options)
            save(clips, sheet=len(options.get("alpha", ())) > 1)


def load():
    """The model, with the settings that the flags change."""
    from lumiere_jax.lumiere import Lumiere

    if flags.FLAGS.model is None:
        raise ValueError("--model is missing: name a model folder, or a run such as runs/demo")
    model = Lumiere.load(flags.FLAGS.model)
    refining = [stage.name for stage in model.cascade.stages if stage.refines]
    changes = sample_flags.stage_changes(refining)
    model = model.with_settings(changes) if changes else model
    return model.base_alone() if BASE_ONLY.value else model


def save(clips, *, sheet: bool) -> None:
    """Writes the clips, and one sheet of them all where they are to be compared."""
    from lumiere_jax.video import write_contact_sheet

    folder = epath.Path(OUTPUT.value)
    for clip in clips:
        for path in clip.save(next_stem(folder), gif=GIF.value):
            print(path)
    if sheet:
        path = epath.Path(f"{next_stem(folder, suffix='-alpha')}.png")
        captions = [f"alpha {clip.recipe['alpha']:g}: {clip.prompt}" for clip in clips]
        write_contact_sheet(path, [clip.video for clip in clips], captions)
        print(path)


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
