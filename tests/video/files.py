"""Write small videos of known content with PyAV: each picture shows its number."""

from fractions import Fraction

import av
import numpy as np

BITS = 15
SIDE = 8 * (BITS + 1)
LOSSLESS = {"libx264": {"qp": "0", "preset": "ultrafast"}, "mpeg4": {"qscale": "2"}}


def numbered(number, height=32):
    """Return a picture [height, 128, 3] that shows a number as black and white columns."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array([*bits, 0], np.uint8) * 255, 8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, len(row), 3)))


def read_number(frame):
    """Return the number that a picture of `numbered` shows, at any size."""
    height, width = frame.shape[:2]
    columns = [int((bit + 0.5) * width / (BITS + 1)) for bit in range(BITS)]
    levels = frame[height // 2, columns].mean(-1)
    return int(sum(1 << bit for bit, level in enumerate(levels) if level > 127))


def write_pictures(
    path,
    pictures,
    codec="libx264",
    pixels="yuv420p",
    times=None,
    tick=Fraction(1, 25),
    options=None,
    prepare=lambda stream: None,
    **open_options,
):
    """Write a video of pictures [h, w, 3 or 4] or of AVFrames; `times` in ticks."""
    with av.open(str(path), "w", **open_options) as container:
        stream = container.add_stream(codec, rate=25, options=dict(options or {}))
        pictures = [picture if isinstance(picture, av.VideoFrame) else _frame(picture)
                    for picture in pictures]  # fmt: skip
        stream.height, stream.width = pictures[0].height, pictures[0].width
        stream.pix_fmt = pixels
        stream.codec_context.time_base = tick
        prepare(stream)
        for index, frame in enumerate(pictures):
            frame.pts = index if times is None else times[index]
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _frame(picture):
    form = "rgba" if picture.shape[2] == 4 else "rgb24"
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=form)
