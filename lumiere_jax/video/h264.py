"""Encode frames as H.264 in an MP4 and decode them again, with PyAV."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np
from etils import epath
from jaxtyping import UInt8

from lumiere_jax.video.colour import ColourConverter

# x264 looks ahead on half-size copies of the frames, beyond whose edges it reads uninitialized
# memory: with frames of 64 pixels, 25 encodings of one clip gave 18 different files. Without
# looking ahead they are all the same, and 2 % larger at 128 pixels.
REPRODUCIBLE = {
    "threads": "1",
    "rc-lookahead": "0",
    "mbtree": "0",
    "b_strategy": "0",
    "sc_threshold": "0",
    "weightp": "none",
}
BT709 = 1  # the number of BT.709 among FFmpeg's colour spaces, primaries and transfer curves
RGB = 0
LIMITED_RANGE, FULL_RANGE = 1, 2


def encode_h264(
    target: BinaryIO | epath.PathLike,
    frames: UInt8[np.ndarray, "t h w 3"],
    fps: float,
    *,
    crf: int,
    pixel_format: str = "yuv420p",
    metadata: Mapping[str, str] | None = None,
    faststart: bool = False,
    **encoder_options: str,
) -> None:
    """Write frames as an MP4 with H.264 inside; the same frames give the same bytes.

    Args:
      target: open binary file, or local path.
      frames: [t, h, w, 3]; even height and width for yuv420p.
      fps: frames a second.
      crf: constant rate factor, 0 (lossless where `pixel_format` is rgb24) to 51 (worst).
      pixel_format: yuv420p (every player), yuv444p, or rgb24.
      metadata: tags of the container.
      faststart: True to put the index first, so that a player can start before it has loaded the
        whole file; needs a path.
      **encoder_options: options of x264, such as preset="slow" or g="16".

    Raises:
      ValueError: the frames are not uint8 [t, h, w, 3], or their sides are odd in yuv420p.
    """
    check_frames(frames)
    height, width = frames.shape[1:3]
    if pixel_format == "yuv420p" and (height % 2 or width % 2):
        raise ValueError(
            f"H.264 in yuv420p needs even sides, got {height}×{width} pixels; "
            f"crop to {height // 2 * 2}×{width // 2 * 2}"
        )
    target = target if hasattr(target, "write") else str(target)
    container_options = {"movflags": "+faststart"} if faststart else {}
    with av.open(target, "w", format="mp4", container_options=container_options) as container:
        container.metadata.update(metadata or {})
        options = {"crf": str(crf), **REPRODUCIBLE, **encoder_options}
        stream = _add_stream(container, height, width, fps, pixel_format, options)
        converter = ColourConverter()
        for index, frame in enumerate(frames):
            picture = converter.from_rgb(frame, pixel_format)
            picture.pts, picture.time_base = index, stream.codec_context.time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def decode_h264(
    source: BinaryIO, shape: tuple[int, int, int, int], start: int = 0, stop: int | None = None
) -> UInt8[np.ndarray, "t h w 3"]:
    """Read frames start … stop − 1 of an MP4 made by `encode_h264`.

    Args:
      source: open binary file.
      shape: [t, h, w, 3] of the whole video.
      start, stop: range of frames, to the end when `stop` is None; decoding begins at the key frame
        before `start`.

    Raises:
      ValueError: the bytes are damaged, or hold a video of another shape.
    """
    stop = shape[0] if stop is None else stop
    frames = np.empty((stop - start, *shape[1:]), np.uint8)
    count = start
    try:
        for index, picture in _pictures(source, shape, start):
            if start <= index < stop:
                frames[index - start] = picture
                count += 1
            if index + 1 >= stop:
                break
    except av.error.FFmpegError as error:
        raise ValueError(f"the H.264 data is damaged ({error})") from error
    if count != stop:
        raise ValueError(f"the H.264 data is damaged: {count - start} of {stop - start} frames")
    return frames


def check_frames(frames: np.ndarray) -> None:
    """Raise a ValueError unless frames are uint8 [t, h, w, 3] with at least one frame."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(
            f"frames must be uint8 [t, h, w, 3] with t > 0, got {frames.dtype} "
            f"{list(frames.shape)}; scale to 0 … 255 and convert with .astype(np.uint8)"
        )


def _add_stream(container, height: int, width: int, fps: float, pixel_format: str, options: dict):
    codec = "libx264rgb" if pixel_format == "rgb24" else "libx264"
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
    stream.thread_type = "NONE"
    context = stream.codec_context
    context.time_base = 1 / rate
    # Without these tags players guess the colours from the size of the picture.
    context.colorspace = RGB if pixel_format == "rgb24" else BT709
    context.color_range = FULL_RANGE if pixel_format == "rgb24" else LIMITED_RANGE
    context.color_primaries = context.color_trc = BT709
    return stream


def _pictures(source, shape, start: int) -> Iterator[tuple[int, np.ndarray]]:
    converter = ColourConverter()
    with av.open(
        source, format="mp4", container_options={"protocol_whitelist": "none"}
    ) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        if (stream.codec_context.height, stream.codec_context.width) != tuple(shape[1:3]):
            raise ValueError(f"the H.264 data does not hold frames of {shape[1]}×{shape[2]} pixels")
        ticks = 1 / (stream.average_rate * stream.time_base)  # of one frame
        if start:
            container.seek(int(start * ticks), stream=stream)
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise ValueError("the H.264 data is damaged: a frame is corrupt")
            if (frame.height, frame.width) != tuple(shape[1:3]):
                raise ValueError("the H.264 data is damaged: a frame has another size")
            yield round(frame.pts / ticks), converter.to_rgb(frame)
