r"""Sample clips with a trained model.

python -m lumiere_jax.sample --model=runs/demo --prompt="…"

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

Several --prompt flags, or a file with one prompt a line (--prompts), make several clips. Each is
written as an mp4, a contact sheet and a JSON with everything needed to make it again, under the
next free number in --output; no file is overwritten. --set=ssr.steps=10 changes a single stage;
--base_only skips super-resolution.

Over several devices, clips are divided over `fsdp`, and the windows of a clip, or the height of its
frames, over `context`; the parameters are divided over both:
    --mesh=fsdp=2,context=4
"""

from __future__ import annotations

import sys

from absl import flags, logging
from etils import epath

from lumiere_jax import sample_flags
from lumiere_jax.one_line_errors import define_path, run

sample_flags.define()
flags.adopt_module_key_flags(sample_flags)  # without it, --help would not list them
OUTPUT = define_path("output", "clips", "Folder for the clips.")
BATCH = flags.DEFINE_integer("batch", 4, "Number of clips made at a time.", 1, 4096)
GIF = flags.DEFINE_bool("gif", False, "Write a GIF as well.")
BASE_ONLY = flags.DEFINE_bool(
    "base_only", False, "Make clips of the base's size, without super-resolution."
)
MESH = flags.DEFINE_string(
    "mesh", None, "Devices to sample on, such as fsdp=2,context=4; -1 is the rest. One by default."
)
PREVIEW = flags.DEFINE_integer("preview", 0, "Write a contact sheet every so many steps.", 0)


def main(_: list[str]) -> None:
    """Make the clips that the flags describe."""
    from lumiere_jax.parallel.processes import use_compilation_cache
    from lumiere_jax.video.new_file import check_output

    if not any(argument.startswith(("--verbosity", "-v", "--v")) for argument in sys.argv):
        logging.set_verbosity(logging.WARNING)  # Orbax logs many lines at every load
    prompts = sample_flags.read_prompts()
    given, options = sample_flags.arguments()
    sample_flags.check_seeds(len(prompts))
    check_output(OUTPUT.value)
    use_compilation_cache()
    with sample_flags.named_by_flags():
        model = load()
        every, single = sample_flags.sampler_changes()
        options |= {"samplers": model.samplers(single, **every), **preview_options()}
    make = getattr(model, sample_flags.method())
    for start in range(0, len(prompts), BATCH.value):
        batch = prompts[start : start + BATCH.value]
        clips = make(batch, *given, seed=flags.FLAGS.seed + start, **options)
        save(clips, sheet=len(options.get("alpha", ())) > 1)


def load():
    """Load the model, with the settings that the flags change."""
    from lumiere_jax.lumiere import Lumiere
    from lumiere_jax.parallel.mesh import MeshConfig, make_mesh

    if flags.FLAGS.model is None:
        raise ValueError("--model is missing: name a model folder, or a run such as runs/demo")
    mesh = None if MESH.value is None else make_mesh(MeshConfig.parse(MESH.value))
    model = Lumiere.load(flags.FLAGS.model, mesh=mesh)
    refining = [stage.name for stage in model.cascade.stages if stage.refines]
    changes = sample_flags.stage_changes(refining)
    model = model.with_config(changes) if changes else model
    return model.base_alone() if BASE_ONLY.value else model


def save(clips, *, sheet: bool) -> None:
    """Write the clips.

    Args:
      clips: generated clips.
      sheet: True to write one contact sheet of all clips too, to compare values of alpha.
    """
    from lumiere_jax.generated import next_number, numbered
    from lumiere_jax.video.contact_sheet import write_contact_sheet
    from lumiere_jax.video.new_file import next_free

    folder = epath.Path(OUTPUT.value)
    for clip in clips:
        for path in clip.save_numbered(folder, gif=GIF.value):
            print(path)
    if not sheet:
        return

    def write(number: int) -> epath.Path:
        path = folder / f"{numbered(number)}-alpha.png"
        captions = [f"alpha {clip.recipe['alpha']:g}: {clip.prompt}" for clip in clips]
        write_contact_sheet(path, [clip.video for clip in clips], captions)
        return path

    print(next_free(write, next_number(folder)))


def preview_options() -> dict:
    """Return options that write the clean estimate as a contact sheet while the clip is made."""
    if not PREVIEW.value:
        return {}
    from lumiere_jax.generated import next_number, numbered
    from lumiere_jax.video.contact_sheet import write_contact_sheet
    from lumiere_jax.video.new_file import next_free

    def make_folder(number: int) -> epath.Path:
        folder = epath.Path(OUTPUT.value) / f"{numbered(number)}-preview"
        folder.mkdir(parents=True)
        return folder

    folder = next_free(make_folder, next_number(OUTPUT.value))

    def write(stage: str, step: int, clips) -> None:
        # A later batch has the same steps: its files get a number.
        path, count = folder / f"{stage}-{step:04d}.png", 1
        while path.exists():
            path, count = folder / f"{stage}-{step:04d}-{count}.png", count + 1
        write_contact_sheet(path, list(clips))

    return {"preview_every": PREVIEW.value, "on_preview": write}


if __name__ == "__main__":
    run(main)
