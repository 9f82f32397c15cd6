"""Write an output folder of shards, with notes from which an interrupted run resumes.

During a run the folder `progress/` holds its settings, a note for each finished shard (its content,
and where the next one begins) and the results of videos whose clips are not in a shard yet. Every
file appears whole or not at all, and a shard is on the disk before its note; so the notes are true
even after `kill -9` and a power cut. Work without a note is done again. At the end `index.json` is
written and `progress/` deleted.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from etils import epath

from lumiere_jax.input_pipeline.clip_index import MAXIMUM, read_clip_index
from lumiere_jax.json_files import read_json
from lumiere_jax.preparation.output_files import clear, result_path, write_shard, write_text
from lumiere_jax.structure import check_whole
from lumiere_jax.video.new_file import UNFINISHED

FORMAT = 1
EARLIER = {"cuts": "builtin"}  # settings that earlier releases did not write


class ShardFolder:
    """A writer of records, in order, to files `clips-00000.array_record`, `clips-00001.…`.

    Args:
      folder: output folder, prepared by `begin`.
      clips_per_shard: number of records in a full shard.
    """

    def __init__(self, folder: epath.PathLike, clips_per_shard: int):
        self.folder = epath.Path(folder)
        self.progress = self.folder / "progress"
        self.clips_per_shard = clips_per_shard
        self.notes = _read_notes(self.folder, self.progress)
        self._records: list[bytes] = []
        self._rejected: list[dict[str, Any]] = []
        # Indices of the next video, and of the first of its clips that no shard has yet.
        self._video, self._clip = self.notes[-1]["next"] if self.notes else (0, 0)

    @property
    def next_video(self) -> int:
        """Return the index of the first video whose clips are not all in shards."""
        return self._video

    @property
    def clips(self) -> int:
        """Return the number of clips so far."""
        return sum(note["records"] for note in self.notes) + len(self._records)

    @property
    def rejected_count(self) -> int:
        """Return the number of rejected videos so far."""
        return sum(len(note["rejected"]) for note in self.notes) + len(self._rejected)

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """Return {"path", "reason", "detail"} of rejected videos; "line" too in a manifest."""
        noted = [entry for note in self.notes for entry in note["rejected"]]
        return noted + self._rejected

    def take(self, records: list[bytes], rejected: dict[str, Any] | None) -> None:
        """Add the result of the next video; clips that are in a shard already are skipped.

        Args:
          records: encoded clips of the video.
          rejected: entry of `rejected.jsonl`, if the video is rejected.
        """
        for record in records[self._clip :]:
            self._records.append(record)
            self._clip += 1
            if len(self._records) == self.clips_per_shard:
                self._close_shard()
        if rejected:
            self._rejected.append(rejected)
        self._video, self._clip = self._video + 1, 0

    def finish(
        self, settings: dict[str, Any], clip_shape: list[int], videos: int, **more: Any
    ) -> dict[str, Any]:
        """Write the last shard, `rejected.jsonl` and `index.json`; return the index.

        Args:
          settings: settings of the run.
          clip_shape: shape of a clip, [t, h, w, 3].
          videos: number of inputs, usable or not.
          **more: further entries of the index.
        """
        if self._records or self._rejected:
            self._close_shard()
        index = self._index(settings, clip_shape, videos) | more
        lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in self.rejected]
        write_text(self.folder / "rejected.jsonl", "".join(lines))
        write_text(
            self.folder / "index.json", json.dumps(index, indent=1, ensure_ascii=False) + "\n"
        )
        clear(self.progress)
        return index

    def _close_shard(self) -> None:
        number = len(self.notes)
        note: dict[str, Any] = {"file": None, "records": 0, "bytes": 0, "sha256": ""}
        if self._records:
            path = self.folder / f"clips-{number:05d}.array_record"
            path.unlink(missing_ok=True)  # a shard without a note was not finished
            note = {"file": path.name, "records": len(self._records)}
            note |= write_shard(path, self._records)
        note |= {"next": [self._video, self._clip], "rejected": self._rejected}
        write_text(self.progress / f"shard-{number:05d}.json", json.dumps(note))
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


def begin(folder: epath.PathLike, settings: dict[str, Any], **known: Any) -> dict | None:
    """Make or reopen an output folder; return the index if it is complete already.

    Args:
      folder: output folder.
      settings: settings of this run; written to the folder, and compared with those of an
        interrupted run.
      **known: options of the comparison, see `find_complete`.

    Raises:
      FileExistsError: the folder holds something else.
      ValueError: the folder was begun with other settings; the message names the flag.
    """
    folder = epath.Path(folder)
    complete = find_complete(folder, settings, **known)
    if complete is not None:
        return complete
    refuse_foreign(folder)
    progress = folder / "progress"
    before = _read_settings(progress / "settings.json")
    if before is not None:
        _check_settings(folder, before, settings, **known)
    else:  # new, or the settings were lost in a power cut: start again
        for leftover in (*progress.glob("*.json"), *progress.glob("*.msgpack")):
            leftover.unlink()
        for leftover in folder.glob("clips-*.array_record"):
            leftover.unlink()
        write_text(progress / "settings.json", json.dumps(settings))
    for leftover in (*folder.glob(f"{UNFINISHED}*"), *progress.glob(f"{UNFINISHED}*")):
        leftover.rmtree()
    return None


def find_complete(folder: epath.PathLike, settings: dict[str, Any], **known: Any) -> dict | None:
    """Return the index of a complete folder; None if there is still work.

    Args:
      folder: output folder.
      settings: settings of this run, which must be those of the folder.
      **known: options of the comparison: earlier_hash, the `source_hash` of the same videos in
        earlier releases; and check_times, False to ignore `source_times`.

    Raises:
      ValueError: the folder was made with other settings, or its index is damaged.
    """
    folder = epath.Path(folder)
    progress, path = folder / "progress", folder / "index.json"
    if not path.exists():
        return None
    try:
        complete = read_clip_index(folder)
        if "settings" not in complete:
            raise ValueError(f"{path} does not say with which settings it was made")
    except ValueError:
        if _read_settings(progress / "settings.json") is None:
            raise
        path.unlink()  # lost in a power cut; the notes from which it was made exist
        return None
    _check_settings(folder, complete["settings"], settings, **known)
    clear(progress)  # killed after the index was written
    return complete


def refuse_foreign(folder: epath.PathLike) -> None:
    """Raise a FileExistsError if a folder has files that lumiere_jax.prepare did not write."""
    folder = epath.Path(folder)
    if not folder.is_dir() or (folder / "progress" / "settings.json").exists():
        return
    if any(
        not path.name.startswith(UNFINISHED) and path.name != "progress"
        for path in folder.iterdir()
    ):
        raise FileExistsError(
            f"--output={folder} holds files that this command did not write; "
            f"give a new folder, such as --output={folder}-clips"
        )


def _check_settings(
    folder: epath.Path,
    before: dict[str, Any],
    now: dict[str, Any],
    *,
    earlier_hash: str | None = None,
    check_times: bool = True,
) -> None:
    for name, value in now.items():
        found = before.get(name, EARLIER.get(name))
        if found == value:
            continue
        if name == "source_hash":
            if found == earlier_hash is not None:
                continue
            raise ValueError(
                f"--source holds other videos or captions than those that --output={folder} "
                "was made from; give a new --output"
            )
        if name == "source_times":
            if found is None or not check_times:
                continue
            raise ValueError(
                f"the videos of --source have been written again since --output={folder} was begun;"
                " give --nocheck_times if they were only copied, or else a new --output"
            )
        raise ValueError(
            f"--{name}={value} differs from --{name}={found}, with which "
            f"--output={folder} was made; give --{name}={found} or a new --output"
        )


def _read_settings(path: epath.Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return None


def _read_notes(folder: epath.Path, progress: epath.Path) -> list[dict[str, Any]]:
    """Read the notes up to the first that is missing or wrong; its shard is made again."""
    notes: list[dict[str, Any]] = []
    while (note := _read_note(folder, progress, len(notes))) is not None:
        notes.append(note)
    return notes


def _read_note(folder: epath.Path, progress: epath.Path, number: int) -> dict[str, Any] | None:
    try:
        note = read_json(progress / f"shard-{number:05d}.json")
        check_whole("next", note["next"][0], 0, MAXIMUM)
        check_whole("next", note["next"][1], 0, MAXIMUM)
        check_whole("records", note["records"], 0, MAXIMUM)
        path = folder / f"clips-{number:05d}.array_record"
        whole = note["file"] is None or (
            note["file"] == path.name and path.stat().length == note["bytes"]
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return note if whole and note.keys() >= {"rejected", "sha256"} else None
