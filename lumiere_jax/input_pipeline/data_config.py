"""Where training clips come from and how they are read, as one frozen dataclass."""

from __future__ import annotations

import dataclasses
from typing import Literal

from lumiere_jax.input_pipeline.masks import MaskMixture
from lumiere_jax.structure import check_fields, check_whole

_RANGES = {
    "frames": (1, 1 << 16),  # three quarters of an hour at 24 a second
    "size": (8, 8192),  # larger frames than any camera's
    "batch_size": (1, 1 << 20),
    "text_length": (1, 8192),  # attention over more tokens fits no accelerator
    "seed": (0, 2**32 - 1),
    "examples": (1, 10**9),
    "workers": (0, 1024),  # processes of one machine
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Clips and their batches.

    Attributes:
      source: "moving_shapes", "records:<folder>" of `python -m lumiere_jax.prepare`,
        "tfds:<name>", or "images:<folder>" of a few pictures of a style.
      split: "train" or "heldout" of the synthetic set, a split of a TFDS set; prepared folders
        have none.
      frames: of a clip.
      size: height and width in pixels.
      image_frames: batches hold one random frame of each clip, for the image stage.
      segment: batches hold this many consecutive frames from a random place in each clip.
      crop: batches hold a random square of this many pixels a side of each clip.
      batch_size: clips a step, over all processes.
      text: "tokens" of the caption, or the "embeddings" stored with the clips.
      tokenizer: "bytes", or a SentencePiece model file.
      text_length: tokens that every caption is padded or cut to.
      shuffle: every epoch in another order; in the stored order otherwise.
      seed: of the order and of the random frames, and of the synthetic scenes.
      examples: scenes in the synthetic set.
      workers: processes that read ahead; 0 reads in threads of this process, which is faster on
        few cores. The batches do not depend on it.
      masks: kinds of masks for the conditional stage, whose batches say what is observed.
      video_feature: of a TFDS set.
      caption_feature: of a TFDS set; text, or a class label.
    """

    source: str = "moving_shapes"
    split: str = "train"
    frames: int = 80
    size: int = 128
    image_frames: bool = False
    segment: int | None = None
    crop: int | None = None
    batch_size: int = 8
    text: Literal["tokens", "embeddings"] = "tokens"
    tokenizer: str = "bytes"
    text_length: int = 64
    shuffle: bool = True
    seed: int = 0
    examples: int = 100_000
    workers: int = 0
    masks: MaskMixture | None = None
    video_feature: str = "video"
    caption_feature: str = "caption"

    def __post_init__(self):
        check_fields(self, whole=_RANGES, prefix="data.")
        if self.text not in ("tokens", "embeddings"):
            raise ValueError(f"data.text={self.text!r}: must be 'tokens' or 'embeddings'")
        for name, whole in (("segment", "frames"), ("crop", "size")):
            part, most = getattr(self, name), getattr(self, whole)
            if part is not None:
                check_whole(f"data.{name}", part, -(1 << 31), 1 << 31)
            if part is not None and not 1 <= part <= most:
                raise ValueError(
                    f"data.{name}={part}: must be from 1 to data.{whole}={most}, or None for all"
                )
        if self.image_frames and self.segment is not None:
            raise ValueError(
                "data.image_frames and data.segment exclude each other; set data.segment=None"
            )

    @property
    def clip_frames(self) -> int:
        """Frames of the clips in a batch."""
        return 1 if self.image_frames else self.segment or self.frames

    @property
    def clip_size(self) -> int:
        """Height and width of the clips in a batch."""
        return self.crop or self.size
