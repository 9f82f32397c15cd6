r"""Convert between checkpoints of others, training runs and model folders.

A diffusers folder of DeepFloyd IF becomes a model folder, also inflated to a video model:

    python -m lumiere_jax.convert --from=diffusers --path=IF-I-XL-v1.0 --output=models/if
    python -m lumiere_jax.convert --from=diffusers --path=IF-I-XL-v1.0 --output=models/video \
        --inflate --size=64 --frames=16

A training run becomes a model folder with its averaged parameters, and its style that folder's
`style`; a style alone becomes a folder; the spatial half of a model becomes a diffusers folder:

    python -m lumiere_jax.convert --from=run --path=runs/demo --output=models/demo --dtype=bfloat16
    python -m lumiere_jax.convert --from=style --path=runs/demo/style --output=styles/mine
    python -m lumiere_jax.convert --to=diffusers --path=models/video --output=out/unet

T5 encoders: `--from=huggingface` or `--from=t5x`, and `--to=t5x`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING

from absl import flags, logging
from etils import epath

from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.structure import check_range, check_whole
from lumiere_jax.video.new_file import ROOM, check_output, refuse_full

if TYPE_CHECKING:
    from lumiere_jax.checkpoints.model_folder import Model
    from lumiere_jax.checkpoints.style import Style

SOURCES = ("model", "diffusers", "deepfloyd", "huggingface", "t5x", "run", "style")
TARGETS = ("model", "diffusers", "t5x")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conversion:
    """A conversion; each field is a flag, `source` is --from and `target` is --to.

    Attributes:
      path: folder to read, or a checkpoint's file in one.
      output: folder to write; must be empty or not exist.
      source: kind of `path`, one of `SOURCES`: a model folder, a U-Net, a T5 encoder, a training
        run, or a style.
      target: kind of `output`, one of `TARGETS`.
      name: name of the U-Net, if the model has several; name of an imported U-Net in the new model.
      variant: name of a variant, such as fp16, if the folder holds several.
      dtype: storage dtype, float32 or bfloat16; as it is stored when None.
      inflate: True to add a fresh temporal half.
      size: pixels per side of an inflated model's clips; the image model's when None.
      frames: number of frames of an inflated model's clips.
      frame_rate: frames per second of an inflated model's clips.
      seed: seed of the fresh temporal parameters.
    """

    path: str
    output: str
    source: str = "model"
    target: str = "model"
    name: str | None = None
    variant: str | None = None
    dtype: str | None = None
    inflate: bool = False
    size: int | None = None
    frames: int = 16
    frame_rate: float = 16.0
    seed: int = 0

    def __post_init__(self):
        check_whole("--frames", self.frames, 1, 1 << 16)
        check_range("--frame_rate", self.frame_rate, 0.01, 1000)
        check_whole("--seed", self.seed, 0, 2**32 - 1)
        if self.size is not None:
            check_whole("--size", self.size, 8, 8192)


def convert(request: Conversion) -> None:
    """Read, inflate if requested, and write.

    Raises:
      FileNotFoundError: `path` is not what `source` says.
      FileExistsError: `output` is not empty.
      OSError: `output` cannot be written to, or its disk has too little room.
      ValueError: a checkpoint that cannot be read, or an inflation that changes the image model.
    """
    output = epath.Path(request.output)
    refuse_full(output)
    made = not output.exists()
    try:
        check_output(output, room=_bytes_at_least(request))
        if request.source == "style":
            _convert_style(request)
        else:
            _convert_model(request)
    except BaseException:
        if made and "://" not in str(output):
            with contextlib.suppress(OSError):  # not empty: files were written before the error
                output.rmdir()
        raise
    print(f"done: {output}")


def _convert_model(request: Conversion) -> None:
    model = _read(request)
    style = _style_beside(request)
    if request.inflate:
        model = _inflate(model, request)
    check_output(request.output, room=_stored_bytes(model, request.dtype))
    _write(model, style, request)


def _bytes_at_least(request: Conversion) -> int:
    """Return a lower bound of the space for the output in bytes, before parameters are read."""
    from lumiere_jax.checkpoints.model_folder import describe_model
    from lumiere_jax.checkpoints.tree import flatten
    from lumiere_jax.checkpoints.unet import read_unet_config
    from lumiere_jax.models.network import network

    if request.source == "model":
        configs = [part.config for part in describe_model(request.path).parts.values()]
    elif request.source in ("diffusers", "deepfloyd"):
        configs = [read_unet_config(request.path, variant=request.variant)]
    else:
        return ROOM
    shapes = [leaf.shape for each in configs for leaf in flatten(network(each).shapes()).values()]
    width = 4 if request.dtype == "float32" else 2  # bytes; no dtype is smaller
    everything = request.target == "model"
    return ROOM + everything * width * sum(map(math.prod, shapes))


def _stored_bytes(model: Model, dtype: str | None) -> int:
    """Return the space for the output in bytes."""
    from lumiere_jax.checkpoints.tree import flatten

    leaves = [leaf for part in model.parts.values() for leaf in flatten(part.params).values()]
    width = {None: None, "float32": 4, "bfloat16": 2}[dtype]
    return ROOM + sum(leaf.size * (width or leaf.dtype.itemsize) for leaf in leaves)


def _read(request: Conversion) -> Model:
    from lumiere_jax.checkpoints import importing
    from lumiere_jax.checkpoints.model_folder import read_model

    options = {"variant": request.variant, "dtype": request.dtype}
    if request.variant is not None and request.source in ("model", "run"):
        raise ValueError(f"--variant={request.variant} is for checkpoints of others; leave it out")
    if request.source == "model":
        return read_model(request.path, dtype=request.dtype)
    if request.source == "run":
        from lumiere_jax.training.runs import is_run, run_model

        if not is_run(request.path):
            raise FileNotFoundError(
                f"--path={request.path} is not a training run: it has no stage with checkpoints; "
                "give the --workdir of python -m lumiere_jax.train, or another --from"
            )
        return run_model(request.path)
    if request.source in ("diffusers", "deepfloyd"):
        return importing.import_diffusers(request.path, name=request.name, **options)
    return importing.import_t5(request.path, **options)


def _style_beside(request: Conversion) -> Style | None:
    """Return the style of a run or a model folder; None if it has none."""
    from lumiere_jax.loaded_model import load_style
    from lumiere_jax.training.runs import has_style

    style = epath.Path(request.path) / "style"
    found = {"run": has_style(request.path), "model": (style / "style.json").exists()}
    if request.target != "model" or not found.get(request.source):
        return None
    return load_style(style)


def _convert_style(request: Conversion) -> None:
    from lumiere_jax.checkpoints.style import write_style
    from lumiere_jax.loaded_model import load_style

    if request.target != "model" or request.inflate:
        flag = "--inflate" if request.inflate else f"--to={request.target}"
        raise ValueError(f"{flag} is for networks; leave it out to convert a style")
    style = load_style(request.path, flag="--path")
    write_style(request.output, style, dtype=request.dtype)
    _print_style(style, request.output)


def _print_style(style: Style, folder: epath.PathLike) -> None:
    print(f"style: {folder} ({'factors' if style.weights is None else 'weights'})")


def _inflate(model: Model, request: Conversion) -> Model:
    from lumiere_jax.checkpoints.inflation import check_inflation, inflate_part, parameter_table
    from lumiere_jax.checkpoints.model_folder import replace_part, unet_part

    name, part = unet_part(model, request.name)
    video = inflate_part(part, size=request.size, frames=request.frames, seed=request.seed)
    print(parameter_table(video.params))
    error = check_inflation(video)
    factor = video.config.temporal_factor
    print(f"1 frame in {factor} is the image model's, to {error:.1e} of the largest output")
    model = replace_part(model, name, video)
    return dataclasses.replace(model, settings={**model.settings, "frame_rate": request.frame_rate})


def _write(model: Model, style: Style | None, request: Conversion) -> None:
    from lumiere_jax.checkpoints.model_folder import text_part, unet_part, write_model
    from lumiere_jax.checkpoints.t5 import write_t5x
    from lumiere_jax.checkpoints.tokenizer_file import missing_tokenizer
    from lumiere_jax.checkpoints.unet import write_unet

    if request.target == "t5x":
        text = text_part(model)
        write_t5x(request.output, text.config, text.params)
    elif request.target == "diffusers":
        _, part = unet_part(model, request.name)
        size = part.settings.get("size")
        write_unet(request.output, part.config, part.params, size=size, dtype=request.dtype)
    else:
        write_model(request.output, model, style=style, dtype=request.dtype)
        if style is not None:
            _print_style(style, epath.Path(request.output) / "style")
        for part in model.parts.values():
            if name := missing_tokenizer(part.config, part.settings):
                print(f"missing: the encoder's tokenizer; copy it to {request.output}/{name}")


def define_flags() -> None:
    """Define the fields of `Conversion` as flags; only if this file is the program."""
    flags.DEFINE_enum("from", "model", SOURCES, "Kind of --path.")
    flags.DEFINE_enum("to", "model", TARGETS, "Kind of --output.")
    define_path("path", None, "Folder to read, or a checkpoint's file in it.")
    define_path("output", None, "Folder to write; must be empty or not exist.")
    flags.DEFINE_string("name", None, "Name of the U-Net, if there are several.")
    flags.DEFINE_string("variant", None, "Variant such as fp16, if the folder holds several.")
    flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "Storage dtype; default: unchanged.")
    flags.DEFINE_bool("inflate", False, "Add a fresh temporal half.")
    flags.DEFINE_integer("size", None, "Pixels per side of an inflated model's clips.")
    flags.DEFINE_integer("frames", 16, "Frames of an inflated model's clips.")
    flags.DEFINE_float("frame_rate", 16.0, "Frames per second of an inflated model's clips.")
    flags.DEFINE_integer("seed", 0, "Seed of the fresh temporal parameters.")


def main(_: list[str]) -> None:
    """Convert as the flags say."""
    if not logging.level_debug():
        logging.set_verbosity(logging.WARNING)  # Orbax logs dozens of lines at every load
    renamed = {"source": "from", "target": "to"}
    names = [field.name for field in dataclasses.fields(Conversion)]
    values = {name: flags.FLAGS[renamed.get(name, name)].value for name in names}
    for name in ("path", "output"):
        if not values[name]:
            raise ValueError(f"--{name} is missing; see python -m lumiere_jax.convert --help")
    convert(Conversion(**values))


if __name__ == "__main__":
    define_flags()
    run(main)
