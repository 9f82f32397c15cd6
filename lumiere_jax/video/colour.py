"""Convert the colours of video files to and from RGB, without the error of fast conversions.

FFmpeg's default conversion of 4:2:0 pictures truncates and darkens every pixel by about one
level of 255; rounded, and with chroma interpolated, the mean error is about 0.1.
"""

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from jaxtyping import UInt8

from lumiere_jax.video import hdr
from lumiere_jax.video.pixels import Pixels

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
# FFmpeg's numbers of RGB (wrong on a picture that is not), unspecified and reserved.
UNTAGGED = (0, 2, 3)
HIGH_DEFINITION_HEIGHT = 720
WHITE_16_BIT = 65283  # FFmpeg's code for the white of most pictures, see `_white`
FULL_RANGE = 2


class ColourConverter:
    """A converter for the frames of one video; keeps FFmpeg's tables between frames."""

    def __init__(self):
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture as RGB, over white where it is transparent, HDR tone-mapped.

        Untagged colours are BT.2020 in HDR pictures, else BT.709 in HD pictures, else BT.601.
        """
        conversion = hdr.find_conversion(frame.color_trc, frame.color_primaries)
        alpha = None
        if _has_alpha(frame.format):
            rgba = self._converted(frame, "rgba")
            colour, alpha = rgba[..., :3], rgba[..., 3]
        elif conversion is None:
            colour = self._converted(frame, "rgb24")
        if conversion is not None:
            colour = hdr.to_sdr(self._converted(frame, "rgb48le"), conversion, _white(frame))
        return Pixels(colour, alpha).on_white()

    def from_rgb(self, frame: UInt8[np.ndarray, "h w 3"], pixel_format: str) -> av.VideoFrame:
        """Return a picture to encode, in BT.709 unless `pixel_format` is rgb24."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if pixel_format == "rgb24":
            return picture
        return self._reformatter.reformat(
            picture, format=pixel_format, dst_colorspace=Colorspace.ITU709, interpolation=EXACT
        )

    def _converted(self, frame: av.VideoFrame, pixel_format: str) -> np.ndarray:
        return self._reformatter.reformat(
            frame, format=pixel_format, src_colorspace=_colorspace(frame), interpolation=EXACT
        ).to_ndarray()


def _has_alpha(pixel_format: av.VideoFormat) -> bool:
    """Return whether pixels may be transparent, as the entries of a palette may."""
    components = pixel_format.components
    return pixel_format.has_palette or any(component.is_alpha for component in components)


def _white(frame: av.VideoFrame) -> int:
    """Return the code of white in the picture that FFmpeg converts to 16-bit RGB."""
    bits = frame.format.components[0].bits
    if bits > 8 and frame.format.is_rgb:
        return 65535
    if bits > 8 and frame.color_range == FULL_RANGE:
        return (2**bits - 1) << (16 - bits)
    return WHITE_16_BIT


def _colorspace(frame: av.VideoFrame) -> Colorspace | None:
    """Return the colour space to assume for an untagged picture; None keeps a picture's tag."""
    if frame.format.is_rgb or frame.format.has_palette or frame.colorspace not in UNTAGGED:
        return None
    if frame.color_trc in (hdr.PQ, hdr.HLG):
        return Colorspace.BT2020
    if frame.height >= HIGH_DEFINITION_HEIGHT:
        return Colorspace.ITU709
    return Colorspace.ITU601
