"""Which stream of a file is the film, and the decoder that shows all of it."""

import av
from av.stream import Disposition

from lumiere_jax.video.limits import ReadLimits, VideoError

# Pictures that belong to a film or a song and are not it.
PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
# FFmpeg's own decoders of these drop the transparency that is kept beside the picture.
DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def find_film(container: av.container.InputContainer) -> av.VideoStream:
    """Return the video stream that a player would show.

    Covers, thumbnails and, beside a film, single pictures are left out. Of several films FFmpeg's
    choice is taken: one marked as the default, then the one with the most data.

    Raises:
      VideoError: "no video" where there is no film, "unreadable" where it cannot be decoded.
    """
    videos = [stream for stream in container.streams if stream.type == "video"]
    films = [stream for stream in videos if not stream.disposition & PICTURES]
    if not films:
        only = "only a cover picture" if videos else "no video stream"
        raise VideoError("no video", f"the file has {only}")
    known = [stream for stream in films if stream.codec_context is not None]
    if not known:
        raise VideoError("unreadable", "this FFmpeg has no decoder for the film's codec")
    moving = [stream for stream in known if stream.frames != 1] or known
    best = container.streams.best("video")
    return best if best in moving else max(moving, key=_rank)


def _rank(stream: av.VideoStream) -> tuple:
    context = stream.codec_context
    default = bool(stream.disposition & Disposition.default)
    return default, context.width * context.height, -stream.index


def open_decoder(stream: av.VideoStream, limits: ReadLimits) -> av.VideoCodecContext:
    """Return the decoder of a stream, on one thread, that refuses pictures above the limits."""
    decoder = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and decoder.name in DECODERS_WITH_ALPHA:
        name = DECODERS_WITH_ALPHA[decoder.name]
        extradata, decoder = decoder.extradata, av.CodecContext.create(name, "r")
        decoder.extradata = extradata
        decoder.thread_count = 1
    decoder.thread_type = "NONE"  # fastest for small frames, and workers are processes
    decoder.options = {"max_pixels": str(limits.max_pixels)}
    return decoder
