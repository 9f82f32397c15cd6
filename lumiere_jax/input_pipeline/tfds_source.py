"""Read clips of TensorFlow Datasets with `tfds.data_source`, in any order, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.source import Example, first_frame
from lumiere_jax.one_line_errors import MissingExtra
from lumiere_jax.text.reading import clean
from lumiere_jax.video.resize import resize_and_crop


def open_tfds(name: str, config: DataConfig) -> TfdsSource:
    """Open a split of a TFDS set that is stored as ArrayRecord.

    Args:
      name: name of the set.
      config: split, features, and the frames and size of the clips.

    Raises:
      MissingExtra: tensorflow-datasets is not installed.
      ValueError: the split is empty, or its examples lack a feature that `config` names.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingExtra(
            f"data.source=tfds:{name} needs tensorflow-datasets: pip install 'lumiere-jax[tfds]'"
        ) from error
    return TfdsSource(tfds.data_source(name, split=config.split), config, name=name)


class TfdsSource:
    """Clips of a random-access sequence of dictionaries with a video and a caption.

    Of longer videos the middle frames are taken, consecutive as they are stored: the data has no
    frame rates. Other sizes are resized and cropped to the centre square.

    Args:
      examples: `tfds.data_source(…)`, or any object with `len` and `[number]`.
      config: data configuration; `video_feature` names a uint8 video [t, h, w, 3], and
        `caption_feature` text or a class label.
      name: name of the set, for messages.

    Raises:
      ValueError: there are no examples, or they lack a feature.
    """

    def __init__(
        self, examples: Sequence[Mapping[str, Any]], config: DataConfig, name: str = "examples"
    ):
        if not len(examples):
            raise ValueError(f"data.source=tfds:{name}: split {config.split!r} holds no clips")
        self._examples, self._config, self._name = examples, config, name
        self._labels = _label_names(examples, config.caption_feature)
        self.identity = f"tfds {name} {config.split} {len(examples)}"
        self._check_features(name)

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, record: int, moment: float | None = None, frames: int = 1) -> Example:
        """Read a clip and its caption; see `Source.read`."""
        example = self._examples[record]
        video = np.asarray(example[self._config.video_feature])
        length = self._config.frames
        if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8:
            raise ValueError(f"video is {video.dtype} {list(video.shape)}, not uint8 [t, h, w, 3]")
        if len(video) < length:
            raise ValueError(f"clip has {len(video)} frames, fewer than data.frames={length}")
        start = (len(video) - length) // 2
        if moment is not None:
            start, length = start + first_frame(moment, frames, length), frames
        video = video[start : start + length]
        resized = np.stack([resize_and_crop(frame, self._config.size) for frame in video])
        return Example(resized, self._caption(record, example[self._config.caption_feature]))

    def _caption(self, record: int, value: Any) -> str:
        """Return the caption of a record: its text, or the name of its class."""
        if self._labels and not isinstance(value, str | bytes):
            return self._labels[int(value)].replace("_", " ")
        try:
            return clean(value.decode() if isinstance(value, bytes) else str(value))
        except ValueError as error:
            raise ValueError(
                f"data.source=tfds:{self._name}: the caption of example {record} is not UTF-8 "
                f"({error})"
            ) from None

    def _check_features(self, name: str) -> None:
        present = list(self._examples[0])
        for flag in ("video_feature", "caption_feature"):
            feature = getattr(self._config, flag)
            if feature not in present:
                raise ValueError(
                    f"data.{flag}={feature!r}: data.source=tfds:{name} has {', '.join(present)}"
                )


def _label_names(examples: Any, feature: str) -> list[str] | None:
    features = getattr(getattr(examples, "dataset_info", None), "features", None)
    if features is None or feature not in features.keys():  # noqa: SIM118 (a FeaturesDict)
        return None
    return getattr(features[feature], "names", None)
