"""The work on one video: its clips as records in one file, or the reason why there are none."""

import dataclasses

import msgpack
from etils import epath

from data.sources import Source
from lumiere_jax.input_pipeline.records import Clip, encode_clip
from lumiere_jax.video import ClipSettings, VideoError, cut_clips, new_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a video: records, or else (reason, detail)."""

    records: list[bytes]
    rejected: tuple[str, str] | None = None


def prepare_video(source: Source, settings: ClipSettings, encoding: str) -> Result:
    """Never raises on account of the video: what goes wrong becomes the reason.

    A video is taken whole or not at all: one that is damaged at the end loses its good clips
    too, since nobody knows how long the frames before were damaged unnoticed.
    """
    if source.problem is not None:
        return Result(records=[], rejected=source.problem)
    try:
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
        return Result(records=[], rejected=(error.reason, error.detail))
    except FileNotFoundError:
        return Result(records=[], rejected=("missing", f"{source.path} does not exist"))
    except Exception as error:  # one video must not end a run over millions
        return Result(records=[], rejected=("unreadable", f"{type(error).__name__}: {error}"))
    return Result(records=records)


def result_path(folder: epath.PathLike, index: int) -> epath.Path:
    """Where the result of the video of that index waits until its clips are in a shard."""
    return epath.Path(folder) / f"video-{index:09d}.msgpack"


def write_result(folder: epath.PathLike, index: int, result: Result) -> None:
    """Writes a result, whole or not at all; one that is there already stays."""
    try:
        with new_file(result_path(folder, index)) as target:
            target.write_bytes(msgpack.packb(dataclasses.asdict(result)))
    except FileExistsError:
        pass  # of the same video and settings, hence the same


def read_result(folder: epath.PathLike, index: int) -> Result:
    """Reads what `write_result` wrote."""
    record = msgpack.unpackb(result_path(folder, index).read_bytes())
    rejected = record["rejected"]
    return Result(records=record["records"], rejected=tuple(rejected) if rejected else None)


def work(task: tuple[int, Source], *, folder: str, settings: ClipSettings, encoding: str) -> None:
    """Prepares the video of a task (index, source), unless that was done before."""
    index, source = task
    if not result_path(folder, index).exists():
        write_result(folder, index, prepare_video(source, settings, encoding))
