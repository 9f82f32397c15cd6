r"""Converts between other people's checkpoints, training runs and model folders.

A diffusers folder of DeepFloyd IF becomes a model folder, and at once a video model:

    python -m lumiere_jax.convert --from=diffusers --path=IF-I-XL-v1.0 --output=models/if
    python -m lumiere_jax.convert --from=diffusers --path=IF-I-XL-v1.0 --output=models/video \
        --inflate --size=64 --frames=16

A training run becomes a model folder; its spatial half, a diffusers folder:

    python -m lumiere_jax.convert --from=run --path=runs/demo --output=models/demo
    python -m lumiere_jax.convert --to=diffusers --path=models/video --output=out/unet

T5 encoders: `--from=huggingface` or `--from=t5x`, and `--to=t5x`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from absl import app, flags, logging

if TYPE_CHECKING:
    from lumiere_jax.training.export import Run
    from lumiere_jax.weights import Model, Part

FROM = flags.DEFINE_enum(
    "from",
    "model",
    ["model", "diffusers", "deepfloyd", "huggingface", "t5x", "run"],
    "What --path is: a model folder, a U-Net, a T5 encoder, or a training run.",
)
TO = flags.DEFINE_enum("to", "model", ["model", "diffusers", "t5x"], "What to write.")
PATH = flags.DEFINE_string("path", None, "What to read.")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write; must be empty or not exist.")
NAME = flags.DEFINE_string("name", None, "The U-Net meant, where there are several.")
VARIANT = flags.DEFINE_string("variant", None, "fp16, where a folder holds both precisions.")
DTYPE = flags.DEFINE_enum(
    "dtype", None, ["float32", "bfloat16"], "Storage dtype; by default as it was stored."
)
INFLATE = flags.DEFINE_bool("inflate", False, "Add a fresh temporal half.")
SIZE = flags.DEFINE_integer("size", None, "Pixels a side of an inflated model's clips.")
FRAMES = flags.DEFINE_integer("frames", 16, "Frames of an inflated model's clips.")
FPS = flags.DEFINE_float("fps", 16.0, "Frames a second of an inflated model's clips.")
SEED = flags.DEFINE_integer("seed", 0, "Of the fresh temporal weights.")


def main(_: list[str]) -> None:
    """Flags in, one call, result out."""
    try:
        for name in ("path", "output"):
            if flags.FLAGS[name].value is None:
                raise ValueError(f"--{name} is missing; see python -m lumiere_jax.convert --help")
        convert()
    except (ValueError, OSError) as error:
        if logging.level_debug():
            raise
        sys.exit(f"error: {error}")


def convert() -> None:
    """Reads, inflates if asked to, and writes."""
    from etils import epath

    output = epath.Path(OUTPUT.value)
    if output.exists() and any(output.iterdir()):  # said before the work, not after it
        raise FileExistsError(f"--output={output} is not empty; choose another or remove it")
    model = _read()
    if INFLATE.value:
        model = _inflate(model)
    _write(model)
    print(f"done: {OUTPUT.value}")


def _read() -> Model:
    from lumiere_jax.weights import importing, read_model

    options = {"variant": VARIANT.value, "dtype": DTYPE.value}
    if FROM.value == "model":
        return read_model(PATH.value, dtype=DTYPE.value)
    if FROM.value == "run":
        return _read_run()
    if FROM.value in ("diffusers", "deepfloyd"):
        return importing.import_diffusers(PATH.value, name=NAME.value, **options)
    return importing.import_t5(PATH.value, **options)


def _read_run() -> Model:
    """The stages of a training run, with averaged weights; `image` is left out beside `base`."""
    from etils import epath

    from lumiere_jax.training.export import load_run
    from lumiere_jax.weights import Model
    from lumiere_jax.weights.parts import stage_parts

    path = epath.Path(PATH.value)
    if not path.is_dir():
        raise FileNotFoundError(f"--path={path}: no such folder; give a --workdir of training")
    folders = [f for f in [path, *sorted(path.iterdir())] if (f / "config.json").exists()]
    stages = {folder.name: folder for folder in folders}
    if NAME.value is not None and NAME.value not in stages:
        raise ValueError(f"--name={NAME.value}: {path} has {', '.join(stages) or 'no stages'}")
    if "base" in stages and NAME.value is None:
        stages.pop("image", None)
    if not stages:
        raise FileNotFoundError(f"--path={path} holds no training run (no config.json)")
    parts: dict = {}
    for name, folder in stages.items():
        if NAME.value in (None, name):
            unet, text = _stage(load_run(folder))
            parts |= stage_parts(name, unet, text, parts)
    return Model(parts=parts)


def _stage(run: Run) -> tuple[Part, Part | None]:
    """A stage's U-Net and text encoder, with the settings that sampling needs."""
    from lumiere_jax.diffusion import SamplerConfig
    from lumiere_jax.weights import Part, to_json

    experiment, data = run.experiment, run.experiment.data
    sampler = SamplerConfig(
        steps=experiment.train.sample_steps, guidance_scale=experiment.train.guidance_scale
    )
    settings = {
        "diffusion": to_json(experiment.diffusion),
        "sampler": to_json(sampler),
        "frames": 1 if data.image_frames else data.frames,
        "size": data.size,
        "step": run.step,
    }
    unet = Part(config=experiment.model, params=run.params["unet"], settings=settings)
    if experiment.text is None:
        return unet, None
    tokenizer = "bytes" if data.tokenizer == "bytes" else "spiece.model"
    settings = {"tokenizer": tokenizer, "length": data.text_length}
    return unet, Part(config=experiment.text, params=run.params["text"], settings=settings)


def _inflate(model: Model) -> Model:
    from lumiere_jax.weights.inflation import check_inflation, inflate_part, parameter_table
    from lumiere_jax.weights.parts import replace_part, unet_part

    name, part = unet_part(model, NAME.value)
    video = inflate_part(part, size=SIZE.value, frames=FRAMES.value, fps=FPS.value, seed=SEED.value)
    print(parameter_table(video.params))
    error = check_inflation(video)
    print(f"every {video.config.temporal_factor}th frame is the image model's, to {error:.1e}")
    return replace_part(model, name, video)


def _write(model: Model) -> None:
    from lumiere_jax.weights import parts, write_model, write_t5x, write_unet
    from lumiere_jax.weights.importing import copy_tokenizer

    if TO.value == "t5x":
        text = parts.text_part(model)
        write_t5x(OUTPUT.value, text.config, text.params)
    elif TO.value == "diffusers":
        _, part = parts.unet_part(model, NAME.value)
        size = part.settings.get("size")
        write_unet(OUTPUT.value, part.config, part.params, size=size, dtype=DTYPE.value)
    else:
        write_model(OUTPUT.value, model, dtype=DTYPE.value)
        tokenizers = [part.settings.get("tokenizer") for part in model.parts.values()]
        found = copy_tokenizer(PATH.value, OUTPUT.value)
        if "spiece.model" in tokenizers and not found:
            print(f"put the encoder's tokenizer there: {OUTPUT.value}/spiece.model")


if __name__ == "__main__":
    app.run(main)
