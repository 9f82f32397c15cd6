"""One clip as one record on disk: a msgpack map with the frames encoded inside.

data = encode_clip(Clip(frames=frames, fps=16.0, caption="a red circle bounces"))
clip = decode_clip(data)            # all frames
still = decode_clip(data, 7, 8)     # one frame, without decoding all of the clip
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

MAXIMUM_BYTES = 1 << 32  # of decoded frames: a damaged shape must not fill the memory
EMBEDDING_DTYPES = ("float16", "float32")
# Records hold short arrays and few keys. msgpack makes room for as many as a record claims to have.
UNPACK = {"max_array_len": 8, "max_map_len": 32, "max_ext_len": 0}
MAXIMUM_ROWS, MAXIMUM_WIDTH = 8192, 1 << 16  # of an embedding


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
    """Return a clip as bytes. Same clip, same bytes.

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


def decode_clip(
    data: bytes,
    start: int = 0,
    stop: int | None = None,
    *,
    shape: tuple[int, int, int, int] | None = None,
) -> Clip:
    """Return the clip with frames start … stop (all of them by default).

    Args:
      data: what `encode_clip` made.
      start, stop: frames.
      shape: [t, h, w, 3] that the whole clip must have; any where None.

    Raises:
      ValueError: the bytes are not a record, are damaged, or hold a clip of another shape.
      IndexError: the clip does not have the frames asked for.
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
    """Return the record with this embedding of its caption; its frames stay encoded as they are."""
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
