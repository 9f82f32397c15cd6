"""A decoded picture of a video, as a player shows it: turned, mirrored, in RGB."""

import math

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from jaxtyping import UInt8

from lumiere_jax.video.colour import ColourConverter
from lumiere_jax.video.limits import VideoError


class DecodedFrame:
    """A decoded picture, converted to RGB only when asked for.

    Attributes:
      section: number of places before this frame at which the file's timestamps jump back.
      pixel_aspect: width over height of one pixel as shown.
    """

    def __init__(
        self,
        frame: av.VideoFrame,
        converter: ColourConverter,
        stored_aspect: float = 1.0,
        section: int = 0,
    ):
        self._frame = frame
        self._converter = converter
        self._turns, self._mirrored = orientation(frame)
        self.section = section
        self.pixel_aspect = 1 / stored_aspect if self.sideways else stored_aspect

    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture, oriented as the file's metadata asks.

        Raises:
          VideoError: FFmpeg cannot convert its colours; reason "unreadable".
        """
        try:
            picture = self._converter.to_rgb(self._frame)
        except (av.error.FFmpegError, ValueError) as error:
            name = self._frame.format.name
            raise VideoError(
                "unreadable", f"its colours cannot be converted to RGB ({name}: {error})"
            ) from error
        return np.rot90(picture[:, ::-1] if self._mirrored else picture, self._turns)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width) of the picture as shown, in pixels."""
        height, width = self._frame.height, self._frame.width
        return (width, height) if self.sideways else (height, width)

    @property
    def sideways(self) -> bool:
        """Return whether turning the picture upright swaps its width and height."""
        return self._turns % 2 == 1


def orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Return (counterclockwise quarter turns 0 … 3, True to mirror left to right before them).

    The display matrix is rounded to the nearest of the eight that keep a rectangle upright; a
    matrix that maps the picture to a line or a point is ignored.
    """
    try:
        # `frame.side_data` makes a reference cycle, which only the garbage collector frees: too
        # late for pictures of 40 MB.
        matrix = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # type: ignore[call-arg]
    except ValueError:  # a kind of side data that PyAV does not know hides all others
        return round(frame.rotation / 90) % 4, False
    if matrix is None:
        return 0, False
    # x' = a x + c y, y' = b x + d y, with y downwards, in fixed point.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
    determinant = a * d - b * c
    if determinant == 0:
        return 0, False
    # The rotation that fits the matrix best, once a mirror is taken out.
    side = math.copysign(1, determinant)
    clockwise = math.atan2(side * b - c, side * a + d)
    return round(-clockwise / (math.pi / 2)) % 4, determinant < 0
