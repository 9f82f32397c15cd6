"""Contact sheets: for each clip a row of evenly spaced frames, and its caption underneath."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from lumiere_jax.video.h264 import check_frames
from lumiere_jax.video.new_file import new_file

GAP = 2  # pixels between pictures
MAXIMUM_LINES = 8  # of a caption; the JSON beside a clip has the whole prompt
PAPER, INK = (255, 255, 255), (32, 32, 32)


def contact_sheet(
    videos: Sequence[UInt8[np.ndarray, "t h w 3"]],
    captions: Sequence[str] | None = None,
    columns: int = 8,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a contact sheet, one row of frames for each clip.

    Args:
      videos: clips [t, h, w, 3] of one height and width, or one array [n, t, h, w, 3].
      captions: a caption for each clip, wrapped under its row; none when None.
      columns: frames shown of a clip, the first and the last among them.

    Raises:
      ValueError: no clips, clips of several sizes, another number of captions, or columns < 1.
    """
    _check(videos, captions, columns)
    columns = min(columns, max(len(video) for video in videos))
    height, width = videos[0].shape[1:3]
    sheet_width = columns * (width + GAP) + GAP
    font = ImageFont.load_default(size=max(10, min(18, sheet_width // 48)))
    wrapped = [_wrap(text, sheet_width - 4 * GAP, font) for text in captions or [""] * len(videos)]
    line = sum(font.getmetrics()) + 1
    heights = [height + 2 * GAP + line * len(lines) for lines in wrapped]
    sheet = Image.new("RGB", (sheet_width, sum(heights) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for video, lines, row_height in zip(videos, wrapped, heights, strict=True):
        for column, index in enumerate(_spread(len(video), columns)):
            picture = Image.fromarray(np.ascontiguousarray(video[index]))
            sheet.paste(picture, (GAP + column * (width + GAP), top))
        for number, text in enumerate(lines):
            draw.text((2 * GAP, top + height + number * line), text, fill=INK, font=font)
        top += row_height
    return np.asarray(sheet)


def write_contact_sheet(
    path: epath.PathLike,
    videos: Sequence[UInt8[np.ndarray, "t h w 3"]],
    captions: Sequence[str] | None = None,
    columns: int = 8,
) -> None:
    """Write `contact_sheet(videos, captions, columns)` to a new PNG file."""
    sheet = Image.fromarray(contact_sheet(videos, captions, columns))
    with new_file(path) as target:
        sheet.save(target, format="PNG")


def _spread(frames: int, columns: int) -> list[int]:
    """Return indices evenly spaced from the first frame to the last, each at most once."""
    return sorted(set(np.linspace(0, frames - 1, columns).round().astype(int).tolist()))


def _wrap(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Wrap a caption into at most `MAXIMUM_LINES` lines of that width; a cut one ends in …."""
    lines: list[str] = []
    words = deque(text.split())
    while words:
        word = words.popleft()
        if lines and font.getlength(f"{lines[-1]} {word[:width]}") <= width:
            lines[-1] += f" {word}"
            continue
        if len(lines) == MAXIMUM_LINES:
            lines[-1] += " …"
            break
        fits = _characters(word, width, font)
        lines.append(word[:fits])
        if word[fits:]:
            words.appendleft(word[fits:])
    return lines


def _characters(word: str, width: int, font: ImageFont.FreeTypeFont) -> int:
    """Return how many characters of a word fit into a line; at least one."""
    count = min(len(word), width)  # no character is narrower than a pixel
    while count > 1 and font.getlength(word[:count]) > width:
        count = count * 9 // 10
    return count


def _check(videos: Sequence[np.ndarray], captions: Sequence[str] | None, columns: int) -> None:
    if len(videos) == 0:
        raise ValueError("a contact sheet needs at least one clip; got videos=[]")
    for video in videos:
        check_frames(video)
    sizes = {video.shape[1:3] for video in videos}
    if len(sizes) > 1:
        raise ValueError(f"clips of one contact sheet must have one size, got {sorted(sizes)}")
    if captions is not None and len(captions) != len(videos):
        raise ValueError(f"{len(captions)} captions for {len(videos)} clips; give one for each")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got columns={columns}; try columns=8")
