"""The endless stream of training batches, and the position in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from absl import flags, logging
from etils import epath

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.loading import Loading, Quarantine
from lumiere_jax.input_pipeline.source import Source
from lumiere_jax.input_pipeline.sources import open_source

THREADS = 4  # that read ahead if there are no worker processes


class Pipeline:
    """An iterator over batches: dictionaries of numpy arrays, the rows of this process.

    video [b, t, h, w, 3] uint8; tokens [b, l] int32 and token_mask [b, l] bool, or text_embedding
    [b, l, d] and text_mask [b, l]; record [b] int64, the clips' numbers in the source; with
    `config.masks` also mask [b, t, h, w, 1] and still [b], both bool, see `masks.Mask`.

    The state is the number of clips that all processes together have read. The order is a pure
    function of the seed and that position, so a run may resume with any number of processes and
    workers, or another batch size. `make_pipeline` makes it.
    """

    def __init__(
        self,
        source: Source,
        config: DataConfig,
        *,
        process_index: int,
        process_count: int,
        quarantine: Quarantine,
    ):
        self._source, self._config, self._quarantine = source, config, quarantine
        self._process = {"process_index": process_index, "process_count": process_count}
        self._rows = config.batch_size // process_count
        self._position = 0
        self._told = False
        self._examples: Any = None  # opened by the first batch: set_state may be called before
        self._peeked: dict[str, np.ndarray] | None = None

    def __iter__(self) -> Pipeline:
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        batch = self.peek()
        self._peeked = None
        self._position += self._config.batch_size
        return batch

    def peek(self) -> dict[str, np.ndarray]:
        """Return the next batch; the position stays before it."""
        if self._peeked is None:
            self._peeked = self._read()
        return self._peeked

    def _read(self) -> dict[str, np.ndarray]:
        if self._examples is None:
            self._examples = iter(self._open())
        rows = [next(self._examples) for _ in range(self._rows)]
        for row in rows:
            self._quarantine.add(row.pop("failures"))
            self._tell_unread(int(row.pop("unread")), int(row["record"]))
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    @property
    def quarantine(self) -> list[dict[str, Any]]:
        """Return the clips that could not be read: {"record", "substitute", "reason"}."""
        return self._quarantine.entries

    def get_state(self) -> dict[str, Any]:
        """Return the position after the last batch, for JSON."""
        return {"position": self._position, **self._identity()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resume at a position that `get_state` returned.

        Raises:
          ValueError: the position belongs to another set of clips, or another order of them.
        """
        for name, here in self._identity().items():
            if state[name] != here:
                raise ValueError(
                    f"data.{name}={here!r}, but the checkpoint's data position belongs to "
                    f"data.{name}={state[name]!r}; use that, or start in a new --workdir"
                )
        self.close()
        self._position = int(state["position"])

    def close(self) -> None:
        """End the threads and processes that read ahead."""
        if self._examples is not None and hasattr(self._examples, "close"):
            self._examples.close()
        self._examples = self._peeked = None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _tell_unread(self, tokens: int, record: int) -> None:
        """Warn once that captions are cut."""
        if tokens and not self._told:
            self._told = True
            length = self._config.text_length
            logging.warning(
                "data.text_length=%d: the text of record %d has %d tokens, and the rest is not "
                "read, of this caption and of all that are longer",
                *(length, record, tokens),
            )

    def _identity(self) -> dict[str, Any]:
        config = self._config
        return {"source": self._source.identity, "seed": config.seed, "shuffle": config.shuffle}

    def _open(self) -> Any:
        import grain

        loading = Loading(
            self._source,
            self._config,
            start=self._position,
            batch_size=self._config.batch_size,
            **self._process,
        )
        workers = self._config.workers
        options = grain.ReadOptions(
            num_threads=1 if workers else THREADS, prefetch_buffer_size=max(self._rows, THREADS)
        )
        examples = grain.MapDataset.source(loading).to_iter_dataset(options)
        if not workers:
            return examples
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain reads flags, which only app.run parses
        return examples.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        )


def make_pipeline(
    config: DataConfig,
    *,
    process_index: int = 0,
    process_count: int = 1,
    quarantine: epath.PathLike | None = None,
    source: Source | None = None,
) -> Pipeline:
    """Open the source of `config` and return its batches.

    Args:
      config: data configuration; `batch_size` counts the clips of all processes.
      process_index: index of this process, which reads its own rows of every batch.
      process_count: number of processes.
      quarantine: file to list unreadable clips in, as lines of JSON; none when None.
      source: source of clips to read instead of `config.source`.

    Raises:
      ValueError: the batch does not divide by the processes, or the source does not fit `config`.
      FileNotFoundError: the source does not exist.
    """
    if config.batch_size % process_count:
        raise ValueError(
            f"data.batch_size={config.batch_size} does not divide by {process_count} processes; "
            f"{-(-config.batch_size // process_count) * process_count} does"
        )
    return Pipeline(
        open_source(config) if source is None else source,
        config,
        process_index=process_index,
        process_count=process_count,
        quarantine=Quarantine(quarantine),
    )
