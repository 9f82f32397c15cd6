"""Read text that people wrote: prompts, captions, lists of either.

Every prompt and caption passes `clean`, whether it comes from a flag, a file or Python, so that the
same words give the same tokens.
"""

from __future__ import annotations

import re
import unicodedata

from etils import epath

from lumiere_jax.json_files import check_unicode, read_bytes

# Drawn with no width, or not at all (Unicode's Default_Ignorable_Code_Point), besides all controls
# (Cc) and format characters (Cf), whose category is looked up.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def clean(text: str) -> str:
    """Return the words of a text: one space between them, composed characters (NFC), nothing else.

    White space of every kind (tabs, line ends, no-break spaces) becomes one space; control and
    zero-width characters go.

    Raises:
      ValueError: half of a surrogate pair, as text that was not UTF-8 leaves behind.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    check_unicode(text)
    # Spaces first: some controls (U+0085, U+001C) are spaces, and would join two words if removed.
    text = " ".join(_INVISIBLE.sub("", text).split())
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf"))
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_text(path: epath.PathLike, flag: str = "") -> str:
    """Read a text file: UTF-8, with or without a byte order mark.

    Args:
      path: the file.
      flag: how the user names it, such as "--prompts"; goes into the error.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: not UTF-8; names the file, the line and the remedy.
    """
    where = f"{flag}={path}" if flag else str(path)
    try:
        data = read_bytes(path)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"{flag}: {error}" if flag else str(error)) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError(f"{where} is UTF-16; save it as UTF-8") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{where}: line {line} is not UTF-8 (byte {data[error.start]:#04x}); save the file as "
            "UTF-8"
        ) from None


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a text, which end at \n or \r\n and nowhere else, without their ends."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


def read_lines(path: epath.PathLike, flag: str = "") -> list[tuple[int, str]]:
    """Read (line number, `clean` text) of the lines of a file that hold any words.

    Args:
      path, flag: see `read_text`.

    Raises:
      FileNotFoundError, ValueError: see `read_text`.
    """
    lines = enumerate(map(clean, split_lines(read_text(path, flag))), 1)
    return [(number, line) for number, line in lines if line]
