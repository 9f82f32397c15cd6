"""Encodings of a clip's frames as bytes, chosen by name; measured in docs/notes/stored_clips.md."""

import dataclasses
import functools
import io
import itertools
import struct
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lumiere_jax.video.h264 import decode_h264, encode_h264

Shape = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """A pair of functions; `decode(data, shape, start, stop)` reads frames start … stop − 1."""

    encode: Callable[[UInt8[np.ndarray, "t h w 3"], float], bytes]
    decode: Callable[[bytes, Shape, int, int], UInt8[np.ndarray, "t h w 3"]]


def _encode_video(frames: np.ndarray, fps: float, **options) -> bytes:
    target = io.BytesIO()
    encode_h264(target, frames, fps, **options)
    return target.getvalue()


def _decode_video(data: bytes, shape: Shape, start: int, stop: int) -> np.ndarray:
    try:
        return decode_h264(io.BytesIO(data), shape, start, stop)
    except (ArithmeticError, AttributeError, IndexError, TypeError) as error:
        # The stream, frame rate or a timestamp is missing, which every encoded clip has.
        raise ValueError(f"the H.264 data is damaged ({type(error).__name__}: {error})") from error


def _encode_pictures(frames: np.ndarray, fps: float, **options) -> bytes:
    """Return where the pictures end, as t little-endian uint32, followed by the pictures."""
    pictures = []
    for frame in frames:
        target = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(frame)).save(target, **options)
        pictures.append(target.getvalue())
    ends = np.cumsum([len(picture) for picture in pictures])
    return struct.pack(f"<{len(ends)}I", *ends) + b"".join(pictures)


def _decode_pictures(data: bytes, shape: Shape, start: int, stop: int, kind: str) -> np.ndarray:
    count, height, width, _ = shape
    if len(data) < 4 * count:
        raise ValueError("the pictures are cut short")
    ends = (0, *struct.unpack_from(f"<{count}I", data))
    falling = any(one > other for one, other in itertools.pairwise(ends))
    if falling or 4 * count + ends[-1] > len(data):
        raise ValueError("the offsets of the pictures are damaged, or the pictures cut short")
    frames = np.empty((stop - start, *shape[1:]), np.uint8)
    for index in range(start, stop):
        picture = data[4 * count + ends[index] : 4 * count + ends[index + 1]]
        try:
            with Image.open(io.BytesIO(picture), formats=(kind,)) as image:
                if image.size != (width, height) or image.mode != "RGB":
                    raise ValueError(f"picture {index} is not RGB of {height}×{width} pixels")
                frames[index - start] = np.asarray(image)
        except Exception as error:  # Pillow raises all kinds, among them SyntaxError
            raise ValueError(f"picture {index} is damaged ({error})") from error
    return frames


def _encode_raw(frames: np.ndarray, fps: float) -> bytes:
    return np.ascontiguousarray(frames).tobytes()


def _decode_raw(data: bytes, shape: Shape, start: int, stop: int) -> np.ndarray:
    if len(data) != np.prod(shape):
        raise ValueError(f"{len(data)} bytes cannot be frames of shape {list(shape)}")
    return np.frombuffer(data, np.uint8).reshape(shape)[start:stop].copy()


def _video(**options) -> Encoding:
    return Encoding(encode=functools.partial(_encode_video, **options), decode=_decode_video)


def _pictures(kind: str, **options) -> Encoding:
    return Encoding(
        encode=functools.partial(_encode_pictures, format=kind, **options),
        decode=functools.partial(_decode_pictures, kind=kind),
    )


# "fastdecode" leaves out the parts of H.264 that are slowest to decode. With a key frame every 16
# frames the image stage can read one frame of a clip without decoding all of it.
_FAST = {"tune": "fastdecode", "g": "16"}

ENCODINGS: dict[str, Encoding] = {
    "h264": _video(crf=12, pixel_format="yuv444p", **_FAST),
    "h264_small": _video(crf=17, pixel_format="yuv420p", **_FAST),
    "h264_lossless": _video(crf=0, pixel_format="rgb24", preset="ultrafast", g="16"),
    "jpeg": _pictures("JPEG", quality=95, subsampling=0),
    "png": _pictures("PNG"),
    "raw": Encoding(encode=_encode_raw, decode=_decode_raw),
}
DEFAULT_ENCODING = "h264"


def find_encoding(name: str) -> Encoding:
    """Return the encoding of that name; raise a ValueError with all names if it is unknown."""
    if name not in ENCODINGS:
        raise ValueError(f"unknown encoding={name!r:.80}; choose one of {', '.join(ENCODINGS)}")
    return ENCODINGS[name]
