"""The work on one video: its clips as records in one file, or the reason why there are none."""

from __future__ import annotations

import dataclasses
import zlib

import msgpack
from etils import epath

from lumiere_jax.input_pipeline.records import Clip, encode_clip
from lumiere_jax.json_files import check_regular
from lumiere_jax.preparation.sources import Source, printable
from lumiere_jax.video.clips import ClipConfig, cut_clips
from lumiere_jax.video.limits import VideoError
from lumiere_jax.video.new_file import new_file

CHECKSUM_BYTES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a video: records, or else (reason, detail)."""

    records: list[bytes]
    rejected: tuple[str, str] | None = None


def prepare_video(source: Source, settings: ClipConfig, encoding: str) -> Result:
    """Return a video's clips, or what is wrong with it; its faults are never raised.

    A video is taken whole or not at all: one that is damaged at the end loses its good clips
    too, since nobody knows how long the frames before were damaged unnoticed.
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


def result_path(folder: epath.PathLike, index: int) -> epath.Path:
    """Return where the result of the video of that index waits until its clips are in a shard."""
    return epath.Path(folder) / f"video-{index:09d}.msgpack"


def write_result(folder: epath.PathLike, index: int, result: Result) -> None:
    """Write a result and its checksum, whole or not at all; one that is there already stays."""
    packed = msgpack.packb(dataclasses.asdict(result))
    try:
        with new_file(result_path(folder, index)) as target:
            target.write_bytes(zlib.crc32(packed).to_bytes(CHECKSUM_BYTES, "little") + packed)
    except FileExistsError:
        pass  # of the same video and settings, hence the same


def read_result(folder: epath.PathLike, index: int) -> Result | None:
    """Read what `write_result` wrote; None where it is not there, or not whole after a power cut.

    A file that is not whole is deleted, so that the work can be done again.
    """
    path = result_path(folder, index)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    checksum, packed = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
    if not packed or zlib.crc32(packed).to_bytes(CHECKSUM_BYTES, "little") != checksum:
        path.unlink(missing_ok=True)
        return None
    record = msgpack.unpackb(packed)
    rejected = record["rejected"]
    return Result(records=record["records"], rejected=tuple(rejected) if rejected else None)


def work(task: tuple[int, Source], *, folder: str, settings: ClipConfig, encoding: str) -> None:
    """Prepare the video of a task (index, source), unless that was done before."""
    index, source = task
    if read_result(folder, index) is None:
        write_result(folder, index, prepare_video(source, settings, encoding))
