"""Prepare captioned videos for training: exact clips in ArrayRecord shards, with an index.

    python -m lumiere_jax.prepare --source=videos/ --output=clips/ --size=128 --frames=80 --fps=16

--source is a folder (the caption of street.mp4 in street.txt beside it) or a manifest
(.jsonl or .csv) with `path` and `caption`. What cannot be used is listed with the reason in
rejected.jsonl. Run the same command again to continue after an interruption; data/README.md
tells the rest.
"""

import errno
import functools
import os

import tqdm
from absl import flags, logging
from etils import epath

from lumiere_jax.input_pipeline.encodings import DEFAULT_ENCODING, ENCODINGS, find_encoding
from lumiere_jax.input_pipeline.records import MAXIMUM_BYTES
from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.only_writer import only_writer
from lumiere_jax.preparation import shards, sources, workers
from lumiere_jax.preparation.work import Result, read_result, work, write_result
from lumiere_jax.structure import check_range, check_whole
from lumiere_jax.video.clips import CUT_DETECTORS, ClipConfig
from lumiere_jax.video.limits import ReadLimits
from lumiere_jax.video.new_file import check_output

SOURCE = define_path("source", None, "Folder of videos, or manifest.jsonl, manifest.csv.")
OUTPUT = define_path("output", None, "Folder to write; new, or of an interrupted run.")
SIZE = flags.DEFINE_integer("size", 128, "Side of the square frames, in pixels.")
FRAMES = flags.DEFINE_integer("frames", 80, "Frames of a clip.")
FPS = flags.DEFINE_float("fps", 16, "Frames a second.")
ENCODING = flags.DEFINE_enum("encoding", DEFAULT_ENCODING, list(ENCODINGS), "See data/README.md.")
CUTS = flags.DEFINE_enum(
    "cuts", "builtin", list(CUT_DETECTORS), "What finds cuts; adaptive is PySceneDetect's."
)
CLIPS_PER_SHARD = flags.DEFINE_integer("clips_per_shard", 100, "Clips in one file.")
MAX_SECONDS = flags.DEFINE_float("max_seconds", 4 * 3600, "Reject longer videos.")
WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes; 0 works in this one. Default: one for each core."
)
CHECK_TIMES = flags.DEFINE_bool(
    "check_times", True, "Do not continue where videos have other modification times than before."
)
CRASHED = Result(records=[], rejected=("corrupt", "the decoder crashed or ran out of memory"))
LONG = 48  # words: about the 64 tokens that a model reads by default


def prepare(
    source: epath.PathLike,
    output: epath.PathLike,
    settings: ClipConfig,
    *,
    encoding: str = DEFAULT_ENCODING,
    clips_per_shard: int = 100,
    worker_count: int = 0,
    check_times: bool = True,
) -> dict:
    """Prepare a folder or manifest of videos; return the index.

    The output depends on the videos, captions and settings alone: not on the number of workers,
    nor on how often the run was interrupted.

    Raises:
      FileNotFoundError, FileExistsError, ValueError: a one-line message that names the flag.
      BlockingIOError: another program is writing to `output`.
      OSError: `output` cannot be written to, or its disk is full.
    """
    _check(settings, encoding, clips_per_shard, worker_count)
    found = sources.find_sources(source)
    hashes = sources.hash_sources(found)
    described = {
        "size": settings.size,
        "frames": settings.frames,
        "fps": float(settings.fps),
        "encoding": encoding,
        "clips_per_shard": clips_per_shard,
        "max_seconds": settings.limits.max_seconds,
        "cuts": settings.cuts,
        "source_hash": hashes.content,
        "source_times": hashes.times,
    }
    known = {"earlier_hash": hashes.sizes, "check_times": check_times}
    complete = shards.find_complete(output, described, **known)
    if complete is None:
        shards.refuse_foreign(output)
        check_output(output)
        with only_writer(epath.Path(output) / "progress", f"--output={output}"):
            complete = shards.begin(output, described, **known)
            if complete is None:
                return _prepare_all(found, output, settings, described, worker_count)
    logging.info("%s is complete already", output)
    return complete


def _check(settings: ClipConfig, encoding: str, clips_per_shard: int, worker_count: int) -> None:
    """Raise a ValueError that names the flag whose value no machine can work with."""
    find_encoding(encoding)
    check_whole("--size", settings.size, 8, 8192)  # what training reads
    check_range("--max_seconds", settings.limits.max_seconds, 0.01, 7 * 24 * 3600)
    check_whole("--clips_per_shard", clips_per_shard, 1, 100_000)  # a shard is held in memory
    check_whole("--workers", worker_count, 0, 1024)  # each is a process of 100 MB
    clip = settings.frames * settings.size**2 * 3
    if clip > MAXIMUM_BYTES:
        raise ValueError(
            f"--frames={settings.frames} of --size={settings.size} are {clip >> 30} GiB a clip; "
            f"{MAXIMUM_BYTES >> 30} GiB are read back at most: give fewer or smaller frames"
        )
    if encoding == "h264_small" and settings.size % 2:
        raise ValueError(
            f"--encoding=h264_small needs an even --size, got {settings.size}; "
            f"try --size={settings.size + 1}"
        )


def _prepare_all(
    found: list[sources.Source],
    output: epath.PathLike,
    settings: ClipConfig,
    described: dict,
    worker_count: int,
) -> dict:
    folder = shards.ShardFolder(output, described["clips_per_shard"])
    shape = [settings.frames, settings.size, settings.size, 3]
    words = [len(source.caption.split()) for source in found]
    captions = {"longest_words": max(words), f"over_{LONG}_words": sum(n > LONG for n in words)}
    try:
        _prepare_videos(found, folder, settings, described["encoding"], worker_count)
        return folder.finish(described, shape, len(found), captions=captions)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"--output={output}: the disk is full; make room, and run the same command again to "
            "continue"
        ) from error


def _prepare_videos(
    found: list[sources.Source],
    folder: shards.ShardFolder,
    settings: ClipConfig,
    encoding: str,
    worker_count: int,
) -> None:
    begin = folder.next_video
    tasks = [(index, found[index]) for index in range(begin, len(found))]
    progress = str(folder.progress)
    function = functools.partial(work, folder=progress, settings=settings, encoding=encoding)
    with tqdm.tqdm(total=len(found), initial=begin, unit="video") as bar:
        for (index, source), done in workers.in_order(function, tasks, worker_count):
            result = read_result(progress, index)
            if not done and result is None:
                result = CRASHED
                write_result(progress, index, result)
            folder.take(result.records, _rejection(source, result))
            bar.set_postfix(clips=folder.clips, rejected=folder.rejected_count, refresh=False)
            bar.update()


def _rejection(source: sources.Source, result: Result) -> dict | None:
    if result.rejected is None:
        return None
    reason, detail = result.rejected
    entry = {"path": source.name, "reason": reason, "detail": detail}
    return entry if source.line is None else entry | {"line": source.line}


def main(_: list[str]) -> None:
    """Prepare what the flags say."""
    worker_count = WORKERS.value if WORKERS.value is not None else os.cpu_count() or 1
    try:
        settings = ClipConfig(
            size=SIZE.value,
            frames=FRAMES.value,
            fps=FPS.value,
            limits=ReadLimits(max_seconds=MAX_SECONDS.value),
            cuts=CUTS.value,
        )
    except ValueError as error:  # its fields have the flags' names
        raise ValueError(f"--{error}") from None
    index = prepare(
        SOURCE.value,
        OUTPUT.value,
        settings,
        encoding=ENCODING.value,
        clips_per_shard=CLIPS_PER_SHARD.value,
        worker_count=worker_count,
        check_times=CHECK_TIMES.value,
    )
    _report(index, epath.Path(OUTPUT.value))


def _report(index: dict, output: epath.Path) -> None:
    counts, rejected = index["counts"], output / "rejected.jsonl"
    if not counts["clips"]:
        raise ValueError(
            f"none of the {counts['videos']} inputs of --source={SOURCE.value} gave a "
            f"clip; {rejected} says why"
        )
    print(f"{counts['clips']} clips of {counts['videos']} videos in {output}")
    if counts["rejected"]:
        print(f"{counts['rejected']} videos rejected; {rejected} says why")
    if long := index.get("captions", {}).get(f"over_{LONG}_words"):
        print(
            f"{long} captions have more than {LONG} words, the longest "
            f"{index['captions']['longest_words']}: a model that reads 64 tokens does not read "
            "them to the end; lumiere_jax.embed_text and training count tokens"
        )


if __name__ == "__main__":
    flags.mark_flags_as_required(["source", "output"])
    run(main)
