"""What a video file may cost, and the error that says why one cannot be used."""

import dataclasses


class VideoError(ValueError):
    """A video that cannot be used; `reason` is one of a few words that a report can count."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self):  # errors travel between processes
        return type(self), (self.reason, self.detail)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """What a file may cost at most. Checked on the header, and again while decoding."""

    max_pixels: int = 8192 * 4320
    max_frames: int = 500_000
    max_seconds: float = 4 * 3600.0

    def check(self, width: int, height: int, frames: int, seconds: float) -> None:
        """Raise a VideoError "too large" that names the limit."""
        if width * height > self.max_pixels:
            found = f"{width}×{height} pixels; the limit is max_pixels={self.max_pixels}"
        elif frames > self.max_frames:
            found = f"{frames} frames; the limit is max_frames={self.max_frames}"
        elif seconds > self.max_seconds:
            found = f"{seconds:.1f} seconds; the limit is max_seconds={self.max_seconds:g}"
        else:
            return
        raise VideoError("too large", found)
