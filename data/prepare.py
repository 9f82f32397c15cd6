"""Prepares captioned videos for training: exact clips in ArrayRecord shards, with an index.

    python -m data.prepare --source=videos/ --output=clips/ --size=128 --frames=80 --fps=16

--source is a folder (the caption of street.mp4 in street.txt beside it) or a manifest
(.jsonl or .csv) with `path` and `caption`. What cannot be used is listed with the reason in
rejected.jsonl. Run the same command again to continue after an interruption; data/README.md
tells the rest.
"""

import functools
import os

import tqdm
from absl import app, flags, logging
from etils import epath

from data import shards, sources, workers
from data.work import Result, read_result, work, write_result
from lumiere_jax.input_pipeline.encodings import DEFAULT_ENCODING, ENCODINGS, find_encoding
from lumiere_jax.video import ClipSettings, ReadLimits

SOURCE = flags.DEFINE_string("source", None, "Folder of videos, or manifest.jsonl, manifest.csv.")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write; new, or of an interrupted run.")
SIZE = flags.DEFINE_integer("size", 128, "Side of the square frames, in pixels.")
FRAMES = flags.DEFINE_integer("frames", 80, "Frames of a clip.")
FPS = flags.DEFINE_float("fps", 16, "Frames a second.")
ENCODING = flags.DEFINE_enum("encoding", DEFAULT_ENCODING, list(ENCODINGS), "See data/README.md.")
CLIPS_PER_SHARD = flags.DEFINE_integer("clips_per_shard", 100, "Clips in one file.")
MAX_SECONDS = flags.DEFINE_float("max_seconds", 4 * 3600, "Reject longer videos.")
WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes; 0 works in this one. Default: one for each core."
)
CRASHED = Result(records=[], rejected=("corrupt", "the decoder crashed or ran out of memory"))


def prepare(
    source: epath.PathLike,
    output: epath.PathLike,
    settings: ClipSettings,
    *,
    encoding: str = DEFAULT_ENCODING,
    clips_per_shard: int = 100,
    worker_count: int = 0,
) -> dict:
    """Prepares a folder or manifest of videos; returns the index.

    The output depends on the videos, captions and settings alone: not on the number of workers,
    nor on how often the run was interrupted.

    Raises:
      FileNotFoundError, FileExistsError, ValueError: a one-line message that names the flag.
    """
    find_encoding(encoding)
    if clips_per_shard < 1:
        raise ValueError(f"--clips_per_shard={clips_per_shard} must be positive; try 100")
    if worker_count < 0:
        raise ValueError(f"--workers={worker_count} must not be negative; try --workers=4")
    if encoding == "h264_small" and settings.size % 2:
        raise ValueError(
            f"--encoding=h264_small needs an even --size, got {settings.size}; "
            f"try --size={settings.size + 1}"
        )
    found = sources.find_sources(source)
    described = {
        "size": settings.size,
        "frames": settings.frames,
        "fps": float(settings.fps),
        "encoding": encoding,
        "clips_per_shard": clips_per_shard,
        "max_seconds": settings.limits.max_seconds,
        "source_hash": sources.hash_sources(found),
    }
    complete = shards.begin(output, described)
    if complete is not None:
        logging.info("%s is complete already", output)
        return complete
    folder = shards.ShardFolder(output, clips_per_shard)
    _prepare_videos(found, folder, settings, encoding, worker_count)
    shape = [settings.frames, settings.size, settings.size, 3]
    return folder.finish(described, shape, len(found))


def _prepare_videos(
    found: list[sources.Source],
    folder: shards.ShardFolder,
    settings: ClipSettings,
    encoding: str,
    worker_count: int,
) -> None:
    begin = folder.next_video
    tasks = [(index, found[index]) for index in range(begin, len(found))]
    progress = str(folder.progress)
    function = functools.partial(work, folder=progress, settings=settings, encoding=encoding)
    with tqdm.tqdm(total=len(found), initial=begin, unit="video") as bar:
        for (index, source), done in workers.in_order(function, tasks, worker_count):
            if not done:
                write_result(progress, index, CRASHED)
            result = read_result(progress, index)
            folder.take(result.records, _rejection(source, result))
            bar.set_postfix(clips=folder.clips, rejected=len(folder.rejected), refresh=False)
            bar.update()


def _rejection(source: sources.Source, result: Result) -> dict[str, str] | None:
    if result.rejected is None:
        return None
    reason, detail = result.rejected
    return {"path": source.name, "reason": reason, "detail": detail}


def main(argv: list[str]) -> None:
    """Prepares what the flags say."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; write --flag=value")
    worker_count = WORKERS.value if WORKERS.value is not None else os.cpu_count() or 1
    try:
        settings = ClipSettings(
            size=SIZE.value,
            frames=FRAMES.value,
            fps=FPS.value,
            limits=ReadLimits(max_seconds=MAX_SECONDS.value),
        )
        index = prepare(
            SOURCE.value,
            OUTPUT.value,
            settings,
            encoding=ENCODING.value,
            clips_per_shard=CLIPS_PER_SHARD.value,
            worker_count=worker_count,
        )
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        raise SystemExit(f"error: {error}") from None
    _report(index["counts"], epath.Path(OUTPUT.value))


def _report(counts: dict, output: epath.Path) -> None:
    rejected = output / "rejected.jsonl"
    if not counts["clips"]:
        raise SystemExit(
            f"error: none of the {counts['videos']} inputs of --source={SOURCE.value} gave a "
            f"clip; {rejected} says why"
        )
    print(f"{counts['clips']} clips of {counts['videos']} videos in {output}")
    if counts["rejected"]:
        print(f"{counts['rejected']} videos rejected; {rejected} says why")


if __name__ == "__main__":
    flags.mark_flags_as_required(["source", "output"])
    app.run(main)
