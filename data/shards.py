"""An output folder under way: shards, and notes from which an interrupted run continues.

While a run is under way the folder `progress/` holds its settings, a note beside each finished
shard (what is in it, and where the next one begins) and the results of videos that wait for
their shard. Every file appears whole or not at all, the note after its shard; so whatever is
noted is true, also after `kill -9`. At the end `index.json` says it all and `progress/` goes.
"""

import hashlib
import json
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from data.work import result_path
from lumiere_jax.video.new_file import UNFINISHED, new_file

# One record a group, so that a reader fetches single records in any order.
WRITER_OPTIONS = "group_size:1"
FORMAT = 1


class ShardFolder:
    """Collects records in order into `clips-00000.array_record`, `clips-00001.…`, …"""

    def __init__(self, folder: epath.PathLike, clips_per_shard: int):
        self.folder = epath.Path(folder)
        self.progress = self.folder / "progress"
        self.clips_per_shard = clips_per_shard
        self.notes = _read_notes(self.folder, self.progress)
        self._records: list[bytes] = []
        self._rejected: list[dict[str, str]] = []
        # Video, and clip of that video, with which the next record to take begins.
        self._video, self._clip = self.notes[-1]["next"] if self.notes else (0, 0)

    @property
    def next_video(self) -> int:
        """Index of the first video whose clips are not all in shards."""
        return self._video

    @property
    def clips(self) -> int:
        return sum(note["records"] for note in self.notes) + len(self._records)

    @property
    def rejected(self) -> list[dict[str, str]]:
        """Of all videos so far: {"path", "reason", "detail"}."""
        noted = [entry for note in self.notes for entry in note["rejected"]]
        return noted + self._rejected

    def take(self, records: list[bytes], rejected: dict[str, str] | None) -> None:
        """Takes what came of the next video; clips that a shard has already are passed over."""
        for record in records[self._clip :]:
            self._records.append(record)
            self._clip += 1
            if len(self._records) == self.clips_per_shard:
                self._close_shard()
        if rejected:
            self._rejected.append(rejected)
        self._video, self._clip = self._video + 1, 0

    def finish(self, settings: dict[str, Any], clip_shape: list[int], videos: int) -> dict:
        """Writes the last shard, `rejected.jsonl` and `index.json`; returns the index."""
        if self._records or self._rejected:
            self._close_shard()
        index = self._index(settings, clip_shape, videos)
        path = self.folder / "rejected.jsonl"
        path.unlink(missing_ok=True)  # of this run, killed before it wrote the index
        lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in self.rejected]
        _write(path, "".join(lines))
        _write(self.folder / "index.json", json.dumps(index, indent=1, ensure_ascii=False) + "\n")
        self.progress.rmtree()
        return index

    def _close_shard(self) -> None:
        number = len(self.notes)
        note: dict[str, Any] = {"file": None, "records": 0, "bytes": 0, "sha256": ""}
        if self._records:
            path = self.folder / f"clips-{number:05d}.array_record"
            path.unlink(missing_ok=True)  # a shard without a note was not finished
            note = {"file": path.name, "records": len(self._records)}
            note |= _write_shard(path, self._records)
        note |= {"next": [self._video, self._clip], "rejected": self._rejected}
        _write(self.progress / f"shard-{number:05d}.json", json.dumps(note))
        self.notes.append(note)
        self._records, self._rejected = [], []
        for index in range(self.notes[-2]["next"][0] if number else 0, self._video):
            result_path(self.progress, index).unlink(missing_ok=True)

    def _index(self, settings: dict[str, Any], clip_shape: list[int], videos: int) -> dict:
        keys = ("file", "records", "bytes", "sha256")
        shards = [{key: note[key] for key in keys} for note in self.notes if note["file"]]
        reasons = [entry["reason"] for entry in self.rejected]
        hashes = "".join(shard["sha256"] for shard in shards)
        return {
            "format": FORMAT,
            "counts": {
                "videos": videos,
                "clips": self.clips,
                "rejected": len(reasons),
                "rejected_by_reason": {name: reasons.count(name) for name in sorted(set(reasons))},
            },
            "sizes": {"clip": clip_shape, "bytes": sum(shard["bytes"] for shard in shards)},
            "settings": settings,
            "hash": hashlib.sha256(hashes.encode()).hexdigest(),
            "shards": shards,
        }


def begin(folder: epath.PathLike, settings: dict[str, Any]) -> dict | None:
    """Makes or reopens an output folder; returns the index where it is complete already.

    Raises:
      FileExistsError: where the folder holds something else.
      ValueError: where it was begun with other settings; names the flag.
    """
    folder = epath.Path(folder)
    progress = folder / "progress" / "settings.json"
    index = folder / "index.json"
    if index.exists():
        complete = json.loads(index.read_text())
        _check_settings(folder, complete["settings"], settings)
        if progress.parent.exists():  # killed between the index and the clearing away
            progress.parent.rmtree()
        return complete
    if progress.exists():
        _check_settings(folder, json.loads(progress.read_text()), settings)
        for leftover in (*folder.glob(f"{UNFINISHED}*"), *progress.parent.glob(f"{UNFINISHED}*")):
            leftover.rmtree()
        return None
    if folder.exists() and any(
        not path.name.startswith(UNFINISHED) and path != progress.parent
        for path in folder.iterdir()
    ):
        raise FileExistsError(
            f"--output={folder} holds files that this command did not write; "
            f"give a new folder, such as --output={folder}-clips"
        )
    _write(progress, json.dumps(settings))
    return None


def _check_settings(folder: epath.Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name) == value:
            continue
        if name == "source_hash":
            raise ValueError(
                f"--source holds other videos or captions than those that --output={folder} "
                "was made from; give a new --output"
            )
        raise ValueError(
            f"--{name}={value} differs from --{name}={before.get(name)}, with which "
            f"--output={folder} was made; give --{name}={before.get(name)} or a new --output"
        )


def _read_notes(folder: epath.Path, progress: epath.Path) -> list[dict[str, Any]]:
    notes: list[dict[str, Any]] = []
    while (path := progress / f"shard-{len(notes):05d}.json").exists():
        note = json.loads(path.read_text())
        if note["file"] and (folder / note["file"]).stat().length != note["bytes"]:
            raise ValueError(
                f"{folder / note['file']} has been changed since it was written; "
                f"delete {folder} and run again"
            )
        notes.append(note)
    return notes


def _write_shard(path: epath.Path, records: list[bytes]) -> dict[str, Any]:
    with new_file(path) as target:
        writer = ArrayRecordWriter(str(target), WRITER_OPTIONS)
        for record in records:
            writer.write(record)
        writer.close()
        data = target.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write(path: epath.Path, text: str) -> None:
    with new_file(path) as target:
        target.write_text(text, encoding="utf-8")
