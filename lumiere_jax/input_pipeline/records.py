"""Encode a clip as a record: a msgpack map with the frames encoded inside.

data = encode_clip(Clip(frames=frames, fps=16.0, caption="a red circle bounces"))
clip = decode_clip(data)            # all frames
still = decode_clip(data, 7, 8)     # one frame, without decoding the whole clip
"""

import dataclasses
import math
import zlib
from typing import Any

import msgpack
import numpy as np
from jaxtyping import Float, UInt8

from lumiere_jax.input_pipeline.encodings import DEFAULT_ENCODING, find_encoding
from lumiere_jax.video.h264 import check_frames

MAXIMUM_BYTES = 1 << 32  # of decoded frames: a damaged shape must not exhaust the memory
EMBEDDING_DTYPES = ("float16", "float32")
# Records have short arrays and few keys. msgpack allocates as many as a record claims to have.
UNPACK = {"max_array_len": 8, "max_map_len": 32, "max_ext_len": 0}
MAXIMUM_ROWS, MAXIMUM_WIDTH = 8192, 1 << 16  # of an embedding


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A captioned clip.

    Attributes:
      frames: uint8 frames [t, h, w, 3].
      fps: frames a second.
      caption: one line of text.
      source: path of its video, relative to the folder or manifest that it was prepared from.
      start: time in its video at which it starts, in seconds; None if unknown.
      text_embedding: embedding [l, d] of the caption, without padding, float16 or float32; None if
        it is not stored.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    fps: float
    caption: str
    source: str = ""
    start: float | None = None
    text_embedding: Float[np.ndarray, "l d"] | None = None


def encode_clip(clip: Clip, encoding: str = DEFAULT_ENCODING) -> bytes:
    """Return a clip as bytes; the same clip gives the same bytes.

    Args:
      clip: clip to encode.
      encoding: name of the frames' encoding, a key of `ENCODINGS`.

    Raises:
      ValueError: the encoding is unknown, or the frames are not uint8 [t, h, w, 3].
    """
    check_frames(clip.frames)
    video = find_encoding(encoding).encode(clip.frames, clip.fps)
    record: dict[str, Any] = {
        "video": video,
        # H.264 decoders conceal damage silently, so the bytes have a checksum.
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


def decode_clip(
    data: bytes,
    start: int = 0,
    stop: int | None = None,
    *,
    shape: tuple[int, int, int, int] | None = None,
) -> Clip:
    """Return the clip of a record with its frames start … stop − 1, by default all.

    Args:
      data: record, the result of `encode_clip`.
      start, stop: range of frames, to the end when `stop` is None.
      shape: required shape [t, h, w, 3] of the whole clip; any shape when None.

    Raises:
      ValueError: the bytes are not a record, are damaged, or hold a clip of another shape.
      IndexError: the clip does not have these frames.
    """
    record = _unpack(data)
    found = record["shape"]
    if shape is not None and tuple(shape) != found:
        raise ValueError(f"the record holds a clip of {list(found)}, expected {list(shape)}")
    stop = found[0] if stop is None else stop
    if not 0 <= start < stop <= found[0]:
        raise IndexError(f"frames {start} … {stop} of a clip with {found[0]} frames")
    embedding = record.get("text_embedding")
    offset = record.get("start")
    return Clip(
        frames=find_encoding(record["encoding"]).decode(record["video"], found, start, stop),
        fps=record["fps"],
        caption=record["caption"],
        source=record.get("source", ""),
        start=None if offset is None else offset + start / record["fps"],
        text_embedding=None if embedding is None else _unpack_embedding(embedding),
    )


def caption_of(data: bytes) -> str:
    """Return the caption of a record, without decoding its frames."""
    return _unpack(data)["caption"]


def add_text_embedding(data: bytes, embedding: Float[np.ndarray, "l d"]) -> bytes:
    """Return the record with this embedding of its caption, and its encoded frames unchanged."""
    return msgpack.packb(_unpack(data) | {"text_embedding": _pack_embedding(embedding)})


def _unpack(data: bytes) -> dict[str, Any]:
    try:
        record = msgpack.unpackb(data, **UNPACK)
        video, shape, caption = record["video"], tuple(record["shape"]), record["caption"]
        sound = isinstance(video, bytes) and isinstance(caption, str)
        sound = sound and isinstance(record.get("encoding"), str) and _is_number(record["fps"])
        sound = sound and record["fps"] > 0 and isinstance(record.get("source", ""), str)
        sound = sound and (record.get("start") is None or _is_number(record["start"]))
        sound = sound and len(shape) == 4 and shape[3] == 3
        sound = sound and all(type(side) is int and side > 0 for side in shape)
    except (ValueError, KeyError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ValueError(f"not a clip record ({type(error).__name__}: {error})") from error
    if not sound or shape[0] * shape[1] * shape[2] * 3 > MAXIMUM_BYTES:
        raise ValueError("not a clip record: a field has a value that no clip has")
    if zlib.crc32(video) != record.get("crc32"):
        raise ValueError("the record is damaged: its checksum does not fit its video")
    return {**record, "shape": shape}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


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


def _unpack_embedding(packed: Any) -> np.ndarray:
    try:
        if packed["dtype"] not in EMBEDDING_DTYPES:
            raise ValueError(f"dtype {packed['dtype']!r:.80} is not float16 or float32")
        rows, width = packed["shape"]
        if not (type(rows) is type(width) is int and 0 <= rows <= MAXIMUM_ROWS):
            raise ValueError(f"shape {packed['shape']!r:.80}")
        if not 0 < width <= MAXIMUM_WIDTH:
            raise ValueError(f"shape {packed['shape']!r:.80}")
        dtype = np.dtype(packed["dtype"]).newbyteorder("<")
        return np.frombuffer(packed["data"], dtype).reshape(rows, width)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"text_embedding is damaged ({error})") from error
