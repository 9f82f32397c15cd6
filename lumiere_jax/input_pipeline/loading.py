"""Load the training example at a position of the endless stream of clips.

Every example is a pure function of the configuration and the position, so it does not matter which
process or thread loads it, or in which run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from etils import epath

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.masks import mask_of
from lumiere_jax.input_pipeline.source import Example, Source
from lumiere_jax.json_files import read_bytes, read_json_lines
from lumiere_jax.text.tokenizers import open_tokenizer

ATTEMPTS = 16  # unreadable clips in a row, after which the whole set counts as damaged
STREAM_LENGTH = 1 << 62
CROP_NUMBER = 4  # makes the seed's random numbers differ from those of scenes, captions, masks


class Loading:
    """The examples of one process by number, for grain to read in this process or in workers.

    Args:
      source: source of the clips.
      config: order, frames, masks and text.
      start: position in the stream of the first example of all processes.
      process_index: index of this process, which takes an equal, contiguous part of each batch.
      process_count: number of processes.
      batch_size: number of clips a step, over all processes.
    """

    def __init__(
        self,
        source: Source,
        config: DataConfig,
        *,
        start: int,
        process_index: int,
        process_count: int,
        batch_size: int,
    ):
        import grain

        self._source, self._config, self._start, self._batch = source, config, start, batch_size
        self._rows = batch_size // process_count
        self._first = process_index * self._rows
        self._tokenizer = open_tokenizer(config.tokenizer) if config.text == "tokens" else None
        order = grain.MapDataset.range(len(source))
        self._order = (order.shuffle(seed=config.seed) if config.shuffle else order).repeat()

    def __len__(self) -> int:
        return STREAM_LENGTH

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return example `number` of this process.

        Arrays without batch axis; "failures", the unreadable clips that it replaces; and "unread",
        the number of tokens of its text if the text is cut, else 0.
        """
        step, row = divmod(int(number), self._rows)
        position = self._start + step * self._batch + self._first + row
        record, example, failures = self._read(int(self._order[position]), position)
        example = self._cropped(example, position)
        return {
            "video": example.frames,
            **self._text(example),
            **self._mask(record, position, example.frames.shape),
            "record": np.int64(record),
            "failures": failures,
        }

    def _read(self, record: int, position: int) -> tuple[int, Example, list[dict[str, Any]]]:
        """Return (record, clip, failures): that clip, or the next one that can be read."""
        segment, part = self._config.segment, {}
        if self._config.image_frames or segment is not None:
            moment = float(np.random.default_rng((self._config.seed, position)).uniform())
            part = {"moment": moment} | ({} if segment is None else {"frames": segment})
        failures: list[dict[str, Any]] = []
        for attempt in range(ATTEMPTS):
            candidate = (record + attempt) % len(self._source)
            try:
                example = self._source.read(candidate, **part)
            except Exception as error:  # decoders raise all kinds; none may end a training run
                failures.append({"record": candidate, "reason": f"{type(error).__name__}: {error}"})
            else:
                return candidate, example, [f | {"substitute": candidate} for f in failures]
        raise RuntimeError(
            f"data.source={self._config.source}: {ATTEMPTS} clips in a row, from record {record} "
            f"on, cannot be read ({failures[-1]['reason']}); is the folder damaged?"
        )

    def _cropped(self, example: Example, position: int) -> Example:
        """Return the example with the same random square of every frame."""
        crop, frames = self._config.crop, example.frames
        if crop is None:
            return example
        rng = np.random.default_rng((self._config.seed, CROP_NUMBER, position))
        top, left = (int(rng.integers(side - crop + 1)) for side in frames.shape[1:3])
        return example._replace(frames=frames[:, top : top + crop, left : left + crop])

    def _mask(self, record: int, position: int, shape: tuple[int, ...]) -> dict[str, Any]:
        masks = self._config.masks
        if masks is None:
            return {}
        drawn = mask_of(masks, self._config.seed, record, position, shape)
        return {"mask": drawn.mask, "still": np.bool_(drawn.still)}

    def _text(self, example: Example) -> dict[str, Any]:
        length = self._config.text_length
        if self._tokenizer is not None:
            tokens = self._tokenizer.encode([example.caption], length)
            (count,) = self._tokenizer.count([example.caption])
            text = {"tokens": tokens.ids[0], "token_mask": tokens.mask[0]}
            return text | {"unread": np.int64(count if count > length else 0)}
        if example.text_embedding is None:
            raise ValueError(
                f"data.text='embeddings': the clips of data.source={self._config.source} store "
                "none; set data.text='tokens'"
            )
        count, stored = len(example.text_embedding), example.text_embedding[:length]
        embedding = np.zeros((length, stored.shape[1]), stored.dtype)
        embedding[: len(stored)] = stored
        return {
            "text_embedding": embedding,
            "text_mask": np.arange(length) < len(stored),
            "unread": np.int64(count if count > length else 0),
        }


class Quarantine:
    """A list of the unreadable clips, each once; also as lines of JSON in a file.

    Attributes:
      entries: {"record", "substitute", "reason"} of each clip, in the order of their detection.

    Args:
      path: file to append a line a clip to, none when None. The lines of earlier runs stay, and are
        not written again; lines that a power cut left unfinished are ignored.
    """

    def __init__(self, path: epath.PathLike | None = None):
        self._path = epath.Path(path) if path is not None else None
        self.entries: list[dict[str, Any]] = []
        self._known: set[int] = set()
        self._unfinished = False  # True if the last line has no line end
        if self._path is not None and self._path.is_file():
            self._note(entry for _, entry in read_json_lines(self._path) if _is_entry(entry))
            self._unfinished = read_bytes(self._path)[-1:] not in (b"", b"\n")

    def add(self, failures: Iterable[dict[str, Any]]) -> None:
        """Add the failures of clips that are not in the list yet."""
        new = self._note(failures)
        if new and self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write("\n" if self._unfinished else "")
                file.write("".join(json.dumps(entry) + "\n" for entry in new))
            self._unfinished = False

    def _note(self, failures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        new = []
        for entry in failures:
            if entry["record"] not in self._known:
                self._known.add(entry["record"])
                new.append(dict(entry))
        self.entries += new
        return new


def _is_entry(entry: dict[str, Any]) -> bool:
    numbers = (entry.get("record"), entry.get("substitute"))
    return all(type(number) is int for number in numbers) and isinstance(entry.get("reason"), str)
