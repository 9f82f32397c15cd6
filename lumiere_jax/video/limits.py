"""Limits on the video files that are read, and the error for files that cannot be used."""

import dataclasses


class VideoError(ValueError):
    """A video that cannot be used; `reason` is one of a few fixed terms, for statistics."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self):  # errors are pickled between processes
        return type(self), (self.reason, self.detail)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """Largest video that is read; checked on the header, and again while decoding.

    Attributes:
      max_pixels: height × width of a frame.
      max_frames: number of frames.
      max_seconds: duration in seconds.
    """

    max_pixels: int = 8192 * 4320
    max_frames: int = 500_000
    max_seconds: float = 4 * 3600.0

    def check(self, width: int, height: int, frames: int, seconds: float) -> None:
        """Raise a VideoError with the reason "too large" if a limit is exceeded."""
        if width * height > self.max_pixels:
            found = f"{width}×{height} pixels; the limit is max_pixels={self.max_pixels}"
        elif frames > self.max_frames:
            found = f"{frames} frames; the limit is max_frames={self.max_frames}"
        elif seconds > self.max_seconds:
            found = f"{seconds:.1f} seconds; the limit is max_seconds={self.max_seconds:g}"
        else:
            return
        raise VideoError("too large", found)
