"""Prepare clips for training: cut videos into clips and write them, encoded, into shards."""

from __future__ import annotations

import errno
import functools

import tqdm
from absl import logging
from etils import epath

from lumiere_jax.input_pipeline.encodings import DEFAULT_ENCODING, find_encoding
from lumiere_jax.input_pipeline.records import MAXIMUM_BYTES, Clip, encode_clip
from lumiere_jax.json_files import check_regular
from lumiere_jax.only_writer import only_writer
from lumiere_jax.preparation import shards, workers
from lumiere_jax.preparation.output_files import Result, read_result, write_result
from lumiere_jax.preparation.sources import Source, find_sources, hash_sources, printable
from lumiere_jax.structure import check_range, check_whole
from lumiere_jax.video.clips import ClipConfig, cut_clips
from lumiere_jax.video.limits import VideoError
from lumiere_jax.video.new_file import check_output

CRASHED = Result(records=[], rejected=("corrupt", "the decoder crashed or ran out of memory"))
LONG_CAPTION = 48  # words: about the 64 tokens that a model reads by default


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

    Args:
      source: folder of captioned videos, or a manifest of them, see `find_sources`.
      output: folder to write; new, or of an interrupted run.
      settings: format of the clips.
      encoding: name of the frames' encoding, a key of `ENCODINGS`.
      clips_per_shard: largest number of clips in a file.
      worker_count: number of worker processes; 0 works in this one.
      check_times: True to refuse to resume if the files' modification times have changed.

    Raises:
      FileNotFoundError, FileExistsError, ValueError: the input or a setting is wrong; the message
        names the flag.
      BlockingIOError: another program is writing to `output`.
      OSError: `output` cannot be written to, or its disk is full.
    """
    _check(settings, encoding, clips_per_shard, worker_count)
    found = find_sources(source)
    hashes = hash_sources(found)
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
    """Raise a ValueError that names the flag whose value is outside of its range."""
    find_encoding(encoding)
    check_whole("--size", settings.size, 8, 8192)  # the range that training reads
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
    found: list[Source],
    output: epath.PathLike,
    settings: ClipConfig,
    described: dict,
    worker_count: int,
) -> dict:
    folder = shards.ShardFolder(output, described["clips_per_shard"])
    shape = [settings.frames, settings.size, settings.size, 3]
    words = [len(source.caption.split()) for source in found]
    captions = {
        "longest_words": max(words),
        f"over_{LONG_CAPTION}_words": sum(count > LONG_CAPTION for count in words),
    }
    try:
        _prepare_videos(found, folder, settings, described["encoding"], worker_count)
        return folder.finish(described, shape, len(found), captions=captions)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"--output={output}: the disk is full; make room, and run the same command again to "
            "resume"
        ) from error


def _prepare_videos(
    found: list[Source],
    folder: shards.ShardFolder,
    settings: ClipConfig,
    encoding: str,
    worker_count: int,
) -> None:
    begin = folder.next_video
    tasks = [(index, found[index]) for index in range(begin, len(found))]
    progress = str(folder.progress)
    function = functools.partial(_work, folder=progress, settings=settings, encoding=encoding)
    with tqdm.tqdm(total=len(found), initial=begin, unit="video") as bar:
        for (index, source), done in workers.in_order(function, tasks, worker_count):
            result = read_result(progress, index)
            if not done and result is None:
                result = CRASHED
                write_result(progress, index, result)
            folder.take(result.records, _rejection(source, result))
            bar.set_postfix(clips=folder.clips, rejected=folder.rejected_count, refresh=False)
            bar.update()


def _work(task: tuple[int, Source], *, folder: str, settings: ClipConfig, encoding: str) -> None:
    """Prepare the video of a task (index, source), unless its result is there already."""
    index, source = task
    if read_result(folder, index) is None:
        write_result(folder, index, prepare_video(source, settings, encoding))


def prepare_video(source: Source, settings: ClipConfig, encoding: str) -> Result:
    """Return the clips of a video, or the reason why it is rejected; raise no error for its faults.

    A video is used whole or not at all: one that is damaged at the end loses its good clips too,
    since earlier frames may be damaged without an error.
    """
    if source.problem is not None:
        return Result(records=[], rejected=source.problem)
    try:
        check_regular(source.path)
        records = [
            encode_clip(
                Clip(
                    frames=frames,
                    fps=settings.fps,
                    caption=source.caption,
                    source=source.name,
                    start=start,
                ),
                encoding,
            )
            for start, frames in cut_clips(source.path, settings)
        ]
    except VideoError as error:
        return _reject(error.reason, error.detail)
    except FileNotFoundError:
        return _reject("missing", f"{source.path} does not exist")
    except Exception as error:  # one video must not end a run over millions
        return _reject("unreadable", f"{type(error).__name__}: {error}")
    return Result(records=records)


def _reject(reason: str, detail: str) -> Result:
    return Result(records=[], rejected=(reason, printable(detail)))


def _rejection(source: Source, result: Result) -> dict | None:
    if result.rejected is None:
        return None
    reason, detail = result.rejected
    entry = {"path": source.name, "reason": reason, "detail": detail}
    return entry if source.line is None else entry | {"line": source.line}
