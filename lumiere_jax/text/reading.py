"""Read text that people wrote: prompts, captions, lists of them.

`clean` is applied to every prompt and caption, whether it comes from a flag, a file or Python, so
that the same words give the same tokens.
"""

from __future__ import annotations

import re
import unicodedata

from etils import epath

from lumiere_jax.json_files import check_unicode, read_bytes

# Characters without width or shape (Unicode's Default_Ignorable_Code_Point), except controls (Cc)
# and format characters (Cf), whose category is looked up.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def clean(text: str) -> str:
    """Return the words of a text with one space between them, in composed characters (NFC).

    White space of every kind (tabs, line ends, no-break spaces) becomes one space; control and
    zero-width characters are removed.

    Raises:
      ValueError: the text has half of a surrogate pair, which comes from text that was not UTF-8.
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
      path: path of the file.
      flag: flag of the file for error messages, such as "--prompts".

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is not UTF-8; the message names the file, the line and the remedy.
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
    """Read the lines of a text file that are not empty, as (line number, `clean` text).

    Args:
      path: path of the file.
      flag: flag of the file for error messages, such as "--prompts".

    Raises:
      FileNotFoundError, ValueError: `read_text` raises them.
    """
    lines = enumerate(map(clean, split_lines(read_text(path, flag))), 1)
    return [(number, line) for number, line in lines if line]
