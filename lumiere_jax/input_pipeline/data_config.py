"""Configuration of the training data: its source, and how it is read."""

from __future__ import annotations

import dataclasses
from typing import Literal

from lumiere_jax.input_pipeline.masks import MaskMixture
from lumiere_jax.structure import check_fields, check_whole

_RANGES = {
    "frames": (1, 1 << 16),  # 45 minutes at 24 frames a second
    "size": (8, 8192),  # as large as the frames of 8K video
    "batch_size": (1, 1 << 20),
    "text_length": (1, 8192),  # attention over more tokens exceeds any accelerator's memory
    "seed": (0, 2**32 - 1),
    "examples": (1, 10**9),
    "workers": (0, 1024),  # processes of one machine
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Source of clips, and the batches made of them.

    Attributes:
      source: "moving_shapes", "records:<folder>" of `python -m lumiere_jax.prepare`,
        "tfds:<name>", or "images:<folder>" of a few pictures of a style.
      split: "train" or "heldout" of the synthetic set, or a split of a TFDS set; prepared folders
        have no splits.
      frames: number of frames of a clip.
      size: height and width of a clip, in pixels.
      image_frames: True for batches of one random frame of each clip, for the image stage.
      segment: number of consecutive frames taken from a random place of each clip; all when None.
      crop: height and width in pixels of a random square taken of each clip; all when None.
      batch_size: number of clips a step, over all processes.
      text: "tokens" of the caption, or the "embeddings" stored with the clips.
      tokenizer: "bytes", or the path of a SentencePiece model file.
      text_length: number of tokens that every caption is padded or cut to.
      shuffle: True for another order in every epoch, False for the stored order.
      seed: seed of the order, the random frames, segments and crops, and the synthetic scenes.
      examples: number of scenes in the synthetic set.
      workers: number of processes that read ahead; 0 reads in threads of this process, which is
        faster on few cores. The batches do not depend on it.
      masks: shares of the kinds of masks, for the conditional stage; no masks when None.
      video_feature: name of the video in a TFDS set.
      caption_feature: name of the caption in a TFDS set, which is text or a class label.
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
        """Return the number of frames of the clips in a batch."""
        return 1 if self.image_frames else self.segment or self.frames

    @property
    def clip_size(self) -> int:
        """Return the height and width of the clips in a batch, in pixels."""
        return self.crop or self.size
