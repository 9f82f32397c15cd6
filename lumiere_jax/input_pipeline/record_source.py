"""Read clips of `python -m lumiere_jax.prepare`: ArrayRecord shards and their `index.json`."""

from __future__ import annotations

from typing import Any, NamedTuple

from etils import epath

from lumiere_jax.input_pipeline.clip_index import read_clip_index
from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.records import decode_clip
from lumiere_jax.input_pipeline.source import Example, first_frame


class RecordSource:
    """A folder of prepared clips.

    Args:
      folder: folder of clips, the `--output` of lumiere_jax.prepare.
      config: data configuration, with the frames and size of the records.

    Raises:
      FileNotFoundError: the folder is not finished, or a shard of it is missing.
      ValueError: the folder is empty or damaged, or its clips have other frames or another size.
    """

    def __init__(self, folder: epath.PathLike, config: DataConfig):
        from array_record.python import array_record_data_source as array_record

        folder = epath.Path(folder)
        index = _read_index(folder)
        _check(folder, index, config)
        files = []
        for shard in index["shards"]:
            path = folder / shard["file"]
            _check_shard(path, shard["bytes"])
            count = shard["records"]
            # With these counts, a shard is opened only when one of its clips is read.
            files.append(ShardInstruction(str(path), 0, count, count))
        self._records = array_record.ArrayRecordDataSource(files)
        self._shape = (config.frames, config.size, config.size, 3)
        self._width = index.get("text", {}).get("width")  # None: unknown, or no embeddings
        self.identity = f"records {index['hash']}"

    def __len__(self) -> int:
        return len(self._records)

    def read(self, record: int, moment: float | None = None, frames: int = 1) -> Example:
        """Read a clip, or a few of its frames without decoding all; see `Source.read`.

        Raises:
          ValueError: the record is damaged, or its shape is not that of the index, so that it does
            not fit into a batch.
        """
        data = self._records[record]
        if moment is None:
            start, stop = 0, self._shape[0]
        else:
            start = first_frame(moment, frames, self._shape[0])
            stop = start + frames
        clip = decode_clip(data, start, stop, shape=self._shape)
        embedding = clip.text_embedding
        if embedding is not None and self._width not in (None, embedding.shape[1]):
            raise ValueError(f"text_embedding is {embedding.shape[1]} wide, not {self._width}")
        return Example(clip.frames, clip.caption, embedding)


class ShardInstruction(NamedTuple):
    """Description of a shard, with which `array_record` opens it only when a record is read."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


def _read_index(folder: epath.Path) -> dict[str, Any]:
    path = folder / "index.json"
    if path.exists():
        return read_clip_index(folder)
    if (folder / "progress").is_dir():
        raise FileNotFoundError(
            f"data.source=records:{folder}: the preparation was interrupted; run the same "
            "`python -m lumiere_jax.prepare` command again"
        )
    raise FileNotFoundError(
        f"data.source=records:{folder}: no index.json there; make the folder with "
        f"`python -m lumiere_jax.prepare --source=<videos> --output={folder}`"
    )


def _check(folder: epath.Path, index: dict[str, Any], config: DataConfig) -> None:
    where = f"data.source=records:{folder}"
    if config.split != "train":
        raise ValueError(
            f"data.split={config.split!r}: {where} has no splits; leave it at 'train', and prepare "
            "the other videos into a folder of their own"
        )
    if not index["counts"]["clips"]:
        raise ValueError(f"{where} holds no clips; its rejected.jsonl says why")
    frames, size = index["sizes"]["clip"][:2]
    for name, stored in (("frames", frames), ("size", size)):
        wanted = getattr(config, name)
        if wanted != stored:
            raise ValueError(
                f"data.{name}={wanted}: the clips of {where} have {stored}; set "
                f"data.{name}={stored}, or prepare them again with --{name}={wanted}"
            )


def _check_shard(path: epath.Path, size: int) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, and index.json lists it; copy it again")
    if path.stat().length != size:
        raise ValueError(
            f"{path} has {path.stat().length} bytes, and index.json says {size}; copy it again"
        )
