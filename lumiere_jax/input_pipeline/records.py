"""One clip as one record on disk: a msgpack map with the frames encoded inside.

data = encode_clip(Clip(frames=frames, fps=16.0, caption="a red circle bounces"))
clip = decode_clip(data)            # all frames
still = decode_clip(data, 7, 8)     # one frame, without decoding all of the clip
"""

import dataclasses
import zlib
from typing import Any

import msgpack
import numpy as np
from jaxtyping import Float, UInt8

from lumiere_jax.input_pipeline.encodings import DEFAULT_ENCODING, find_encoding
from lumiere_jax.video.h264 import check_frames

MAXIMUM_BYTES = 1 << 32  # of decoded frames: a damaged shape must not fill the memory
EMBEDDING_DTYPES = ("float16", "float32")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A captioned clip.

    frames: uint8 [t, h, w, 3].
    fps: frames a second.
    caption: one line of text.
    source: where it comes from, relative to what it was prepared from.
    start: where it begins in its source, in seconds.
    text_embedding: [l, d] of the caption at its true length, float16 or float32, where stored.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    fps: float
    caption: str
    source: str = ""
    start: float | None = None
    text_embedding: Float[np.ndarray, "l d"] | None = None


def encode_clip(clip: Clip, encoding: str = DEFAULT_ENCODING) -> bytes:
    """A clip as bytes. Same clip, same bytes.

    Raises:
      ValueError: unknown encoding, or frames that are not uint8 [t, h, w, 3].
    """
    check_frames(clip.frames)
    video = find_encoding(encoding).encode(clip.frames, clip.fps)
    record: dict[str, Any] = {
        "video": video,
        # H.264 decoders conceal damage without a word, so the bytes are checked themselves.
        "crc32": zlib.crc32(video),
        "encoding": encoding,
        "shape": list(clip.frames.shape),
        "fps": float(clip.fps),
        "caption": clip.caption,
        "source": clip.source,
    }
    if clip.start is not None:
        record["start"] = float(clip.start)
    if clip.text_embedding is not None:
        record["text_embedding"] = _pack_embedding(clip.text_embedding)
    return msgpack.packb(record)


def decode_clip(data: bytes, start: int = 0, stop: int | None = None) -> Clip:
    """The clip with frames start … stop (all of them by default).

    Raises:
      ValueError: where the bytes are not a record, or are damaged.
      IndexError: where the clip does not have the frames asked for.
    """
    record = _unpack(data)
    shape = record["shape"]
    stop = shape[0] if stop is None else stop
    if not 0 <= start < stop <= shape[0]:
        raise IndexError(f"frames {start} … {stop} of a clip with {shape[0]} frames")
    embedding = record.get("text_embedding")
    offset = record.get("start")
    return Clip(
        frames=find_encoding(record["encoding"]).decode(record["video"], shape, start, stop),
        fps=record["fps"],
        caption=record["caption"],
        source=record.get("source", ""),
        start=None if offset is None else offset + start / record["fps"],
        text_embedding=None if embedding is None else _unpack_embedding(embedding),
    )


def caption_of(data: bytes) -> str:
    """The caption of a record, without decoding its frames."""
    return _unpack(data)["caption"]


def add_text_embedding(data: bytes, embedding: Float[np.ndarray, "l d"]) -> bytes:
    """The record with this embedding of its caption; its frames stay encoded as they are."""
    return msgpack.packb(_unpack(data) | {"text_embedding": _pack_embedding(embedding)})


def _unpack(data: bytes) -> dict[str, Any]:
    try:
        record = msgpack.unpackb(data)
        video, shape, caption = record["video"], tuple(record["shape"]), record["caption"]
        sound = isinstance(video, bytes) and isinstance(caption, str) and record["fps"] > 0
        sound = sound and len(shape) == 4 and shape[3] == 3
        sound = sound and all(isinstance(side, int) and side > 0 for side in shape)
    except (ValueError, KeyError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ValueError(f"not a clip record ({type(error).__name__}: {error})") from error
    if not sound or shape[0] * shape[1] * shape[2] * 3 > MAXIMUM_BYTES:
        raise ValueError("not a clip record: a field has a value that no clip has")
    if zlib.crc32(video) != record.get("crc32"):
        raise ValueError("the record is damaged: its checksum does not fit its video")
    return {**record, "shape": shape}


def _pack_embedding(embedding: np.ndarray) -> dict[str, Any]:
    if embedding.dtype.name not in EMBEDDING_DTYPES or embedding.ndim != 2:
        raise ValueError(
            f"text_embedding must be float16 or float32 [l, d], got {embedding.dtype} "
            f"{list(embedding.shape)}; drop the batch axis and convert with .astype(np.float16)"
        )
    little = np.ascontiguousarray(embedding, embedding.dtype.newbyteorder("<"))
    return {
        "dtype": embedding.dtype.name,
        "shape": list(embedding.shape),
        "data": little.tobytes(),
    }


def _unpack_embedding(packed: dict[str, Any]) -> np.ndarray:
    if packed["dtype"] not in EMBEDDING_DTYPES:
        raise ValueError(f"text_embedding has dtype {packed['dtype']!r}, not float16 or float32")
    dtype = np.dtype(packed["dtype"]).newbyteorder("<")
    return np.frombuffer(packed["data"], dtype).reshape(packed["shape"])
