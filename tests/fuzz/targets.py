"""All readers of files from outside: a function that writes a good file, and one that reads it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
import zipfile
from collections.abc import Callable

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader of files.

    Attributes:
      make: function that writes good files into a folder.
      read: function that reads them; may raise ValueError and OSError and nothing else.
      damaged: pattern of the files to damage; all files by default.
      survives: True if the reader can fall back on other data, so that it must accept all damage.
    """

    make: Callable[[pathlib.Path], None]
    read: Callable[[str], object]
    damaged: str = "**/*"
    survives: bool = False


def _clip(frames: int = 12, height: int = 32, width: int = 48) -> np.ndarray:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(base, frame, 1) for frame in range(frames)]).astype(np.uint8)


def _write_video(path: pathlib.Path, codec: str, pixel_format: str = "yuv420p", **options) -> None:
    import av

    frames = _clip()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixel_format
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture.reformat(format=pixel_format)))
        container.mux(stream.encode(None))


def _video(ending: str, codec: str, pixel_format: str = "yuv420p", **options) -> Target:
    def make(folder):
        _write_video(folder / f"x.{ending}", codec, pixel_format, **options)

    def read(folder):
        from lumiere_jax.video import ClipConfig, ReadLimits, cut_clips, read_video

        path = pathlib.Path(folder) / f"x.{ending}"
        limits = ReadLimits(max_pixels=2048 * 2048, max_seconds=600)
        settings = ClipConfig(size=16, frames=4, fps=8, limits=limits)
        for _ in cut_clips(path, settings):
            pass
        read_video(path, fps=8, size=16, frames=20, limits=limits)

    return Target(make, read)


def _picture(ending: str, **options) -> Target:
    def make(folder):
        first, second = (Image.fromarray(frame) for frame in _clip(2))
        if options.pop("animated", False):
            options.update(save_all=True, append_images=[second], duration=125)
        first.save(folder / f"x.{ending}", **options)

    def read(folder):
        from lumiere_jax.applications.media import open_clip, open_image
        from lumiere_jax.applications.regions import open_region

        path = pathlib.Path(folder) / f"x.{ending}"
        open_image(path)
        with contextlib.suppress(ValueError):  # a still is not a clip
            open_clip(path, frame_rate=8, frames=8)
        open_region((2, 32, 48), 32, frame_rate=8, mask=path)

    return Target(make, read)


def _make_model(folder: pathlib.Path) -> None:
    from lumiere_jax.checkpoints import write_model
    from tests.tiny import tiny_model

    model = tiny_model()
    shutil.copy(ROOT / "data/words/spiece.model", folder.parent / "spiece.model")
    parts = dict(model.parts)
    settings = {**parts["text"].settings, "tokenizer": str(folder.parent / "spiece.model")}
    parts["text"] = dataclasses.replace(parts["text"], settings=settings)
    write_model(folder / "model", dataclasses.replace(model, parts=parts))


def _read_model(folder: str) -> None:
    from lumiere_jax.lumiere import Lumiere

    Lumiere.load(pathlib.Path(folder) / "model")


def _copy_golden(name: str, *files: str) -> Callable[[pathlib.Path], None]:
    def make(folder):
        (folder / "unet").mkdir()
        for file in files:
            shutil.copy(GOLDEN / name / file, folder / "unet" / file)

    return make


def _make_scheduler(folder: pathlib.Path) -> None:
    _copy_golden("if1_unet", "config.json", "diffusion_pytorch_model.safetensors")(folder)
    (folder / "scheduler").mkdir()
    fields = {"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2"}
    fields |= {"variance_type": "learned_range", "thresholding": True, "sample_max_value": 1.5}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(fields))


def _read_diffusers(folder: str) -> None:
    from lumiere_jax.checkpoints.importing import import_diffusers

    import_diffusers(folder)


def _make_t5(folder: pathlib.Path) -> None:
    for file in ("config.json", "model.safetensors"):
        shutil.copy(GOLDEN / "t5_hf" / file, folder / file)


def _make_t5x(folder: pathlib.Path) -> None:
    with zipfile.ZipFile(GOLDEN / "t5x/checkpoint_1000.zip") as archive:
        archive.extractall(folder)


def _read_t5(folder: str) -> None:
    from lumiere_jax.checkpoints.importing import import_t5

    inside = [path.parent for path in pathlib.Path(folder).rglob("checkpoint") if path.is_file()]
    import_t5(inside[0] if inside else folder)


def _make_style(folder: pathlib.Path) -> None:
    from lumiere_jax.checkpoints.style import Style, write_style

    write_style(folder / "style", Style(weights={"a": {"kernel": np.ones((3, 4), np.float32)}}))


def _read_style(folder: str) -> None:
    from lumiere_jax.checkpoints.style import read_style

    read_style(pathlib.Path(folder) / "style")


def _make_records(folder: pathlib.Path) -> None:
    from absl import logging

    from lumiere_jax.preparation.clips import prepare
    from lumiere_jax.video import ClipConfig

    logging.set_verbosity(logging.ERROR)
    (folder.parent / "videos").mkdir()
    _write_video(folder.parent / "videos/a.mp4", "libx264")
    (folder.parent / "videos/a.txt").write_text("a box")
    settings = ClipConfig(size=16, frames=4, fps=8)
    prepare(folder.parent / "videos", folder / "clips", settings, encoding="jpeg")


def _read_records(folder: str) -> None:
    from lumiere_jax.input_pipeline import DataConfig
    from lumiere_jax.input_pipeline.pipeline import make_pipeline

    source = f"records:{folder}/clips"
    config = DataConfig(source=source, frames=4, size=16, batch_size=1, text_length=8)
    try:
        with make_pipeline(config) as batches:
            next(batches)
    except RuntimeError as error:  # the error of training after 16 unreadable clips in a row
        raise ValueError(str(error)) from None


def _make_record(folder: pathlib.Path) -> None:
    from lumiere_jax.input_pipeline.records import Clip, add_text_embedding, encode_clip

    for encoding in ("h264", "png", "raw"):
        data = encode_clip(Clip(frames=_clip(4, 16, 16), fps=8.0, caption="a box"), encoding)
        data = add_text_embedding(data, np.ones((3, 4), np.float16))
        (folder / encoding).write_bytes(data)


def _read_record(folder: str) -> None:
    from lumiere_jax.input_pipeline.records import decode_clip

    for path in pathlib.Path(folder).iterdir():
        decode_clip(path.read_bytes())


def _make_journals(folder: pathlib.Path) -> None:
    entry = {"record": 3, "substitute": 4, "reason": "damaged"}
    (folder / "quarantine.jsonl").write_text(f"{json.dumps(entry)}\n" * 3)
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": NaN}\n')


def _read_journals(folder: str) -> None:
    from lumiere_jax.input_pipeline.loading import Quarantine
    from lumiere_jax.training.metric_writer import plot_losses

    Quarantine(pathlib.Path(folder) / "quarantine.jsonl").add([{"record": 9, "reason": "x"}])
    plot_losses(folder)


def _make_manifests(folder: pathlib.Path) -> None:
    rows = [("a.mp4", 'one "big", red ball'), ("b.mp4", "zwei Bälle"), ("c.mp4", "three")]
    quoted = [f'{path},"{caption.replace(chr(34), chr(34) * 2)}"\n' for path, caption in rows]
    (folder / "m.csv").write_text("path,caption\n" + "".join(quoted))
    lines = [json.dumps({"path": path, "caption": caption}) + "\n" for path, caption in rows]
    (folder / "m.jsonl").write_text("".join(lines))


def _read_manifests(folder: str) -> None:
    from lumiere_jax.preparation.sources import find_sources, hash_sources

    for name in ("m.csv", "m.jsonl"):
        hash_sources(find_sources(pathlib.Path(folder) / name))


def _make_prompts(folder: pathlib.Path) -> None:
    text = "a red circle\r\nein grüner Kreis\n\n漢字 \U0001f534\n"
    (folder / "prompts.txt").write_text(text, encoding="utf-8", newline="")


def _read_prompts(folder: str) -> None:
    from lumiere_jax.text import find_unread, open_tokenizer, read_lines

    tokenizer = open_tokenizer(ROOT / "data/words/spiece.model")
    for _, line in read_lines(pathlib.Path(folder) / "prompts.txt", "--prompts"):
        find_unread(tokenizer, line, 8)


def _make_embeddings(folder: pathlib.Path) -> None:
    from lumiere_jax.text.stored import NULL_TEXT, PROMPTS, write_prompts

    np.save(folder / NULL_TEXT, np.ones((1, 4), np.float16))
    texts = {"a red circle": np.ones((3, 4), np.float16), "ein Kreis": np.ones((2, 4), np.float32)}
    write_prompts(folder / PROMPTS, texts, encoder="t5")


def _read_embeddings(folder: str) -> None:
    from etils import epath

    from lumiere_jax.text.stored import (
        NULL_TEXT,
        PROMPTS,
        pad_text,
        read_array,
        read_encoder,
        read_prompts,
    )

    path = epath.Path(folder) / PROMPTS
    read_encoder(path)
    found = list(read_prompts(path, 4).values())
    pad_text([*found, read_array(epath.Path(folder) / NULL_TEXT, 4)], 4)


def _make_tokenizer(folder: pathlib.Path) -> None:
    shutil.copy(ROOT / "data/words/spiece.model", folder / "spiece.model")


def _read_tokenizer(folder: str) -> None:
    from lumiere_jax.text import open_tokenizer

    tokenizer = open_tokenizer(pathlib.Path(folder) / "spiece.model")
    tokenizer.encode(["a red circle"], 8)
    tokenizer.unknown("a red circle")


def _make_run(folder: pathlib.Path) -> None:
    from configs.demo import get_config
    from lumiere_jax.training.command_line import to_experiment
    from lumiere_jax.training.config import write_experiment

    write_experiment(folder / "config.json", to_experiment(get_config("base")))


def _read_run(folder: str) -> None:
    from lumiere_jax.training.config import read_experiment

    read_experiment(pathlib.Path(folder) / "config.json")


def _make_checkpoints(folder: pathlib.Path) -> None:
    import jax.numpy as jnp
    from orbax.checkpoint import v1 as ocp

    from lumiere_jax.checkpoints.fingerprint import tree_fingerprint

    tree = {"a": jnp.arange(6.0)}
    kept = {"fingerprints": {"ema": tree_fingerprint(tree)}, "frozen": "", "data": None}
    with ocp.training.Checkpointer(folder / "checkpoints") as orbax:
        for step in (1, 2):
            orbax.save_checkpointables(step, {"ema": tree}, custom_metadata=kept)


def _read_checkpoints(folder: str) -> None:
    import jax
    import jax.numpy as jnp

    from lumiere_jax.training.checkpoint import Checkpoints

    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shape = jax.ShapeDtypeStruct((6,), jnp.float32, sharding=sharding)
    with Checkpoints(folder) as checkpoints:
        checkpoints.restore({"ema": {"a": shape}})


TARGETS = {
    "mp4": _video("mp4", "libx264"),
    "mkv": _video("mkv", "libx264", bf="2"),
    "webm": _video("webm", "libvpx"),
    "ts": _video("ts", "mpeg2video"),
    "avi": _video("avi", "mpeg4"),
    "gif video": _video("gif", "gif", "rgb8"),
    "png": _picture("png"),
    "jpeg": _picture("jpg"),
    "tiff": _picture("tiff", compression="tiff_lzw"),
    "webp": _picture("webp", animated=True),
    "gif": _picture("gif", animated=True),
    "apng": _picture("png", animated=True),
    "model folder": Target(_make_model, _read_model),
    "unet": Target(
        _copy_golden("if1_unet", "config.json", "diffusion_pytorch_model.safetensors"),
        _read_diffusers,
    ),
    "scheduler": Target(_make_scheduler, _read_diffusers, "scheduler/*"),
    "t5": Target(_make_t5, _read_t5),
    "t5x": Target(_make_t5x, _read_t5),
    "style": Target(_make_style, _read_style),
    "run": Target(_make_run, _read_run),
    "checkpoints": Target(_make_checkpoints, _read_checkpoints, "checkpoints/2/**/*", True),
    "records": Target(_make_records, _read_records),
    "record": Target(_make_record, _read_record),
    "journals": Target(_make_journals, _read_journals, survives=True),
    "manifests": Target(_make_manifests, _read_manifests),
    "prompts": Target(_make_prompts, _read_prompts),
    "embeddings": Target(_make_embeddings, _read_embeddings),
    "tokenizer": Target(_make_tokenizer, _read_tokenizer),
}
