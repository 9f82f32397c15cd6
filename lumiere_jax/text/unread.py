"""Find the parts of a text that a model cannot read: tokens beyond its length, unknown words."""

from __future__ import annotations

import dataclasses

from lumiere_jax.text.reading import clean
from lumiere_jax.text.tokenizers import Tokenizer

SHOWN = 8  # unknown words in a message


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unread:
    """Parts of a text that a model does not read.

    Attributes:
      text: cleaned text.
      tokens: number of tokens of the whole text, the end token included.
      length: number of tokens that the model reads.
      rest: words at the end of the text that the model does not read in full.
      unknown: words with a character that has no token.
    """

    text: str
    tokens: int
    length: int
    rest: str = ""
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = []
        if self.rest:
            parts.append(
                f"has {self.tokens} tokens, and the model reads {self.length}: "
                f"not read is {_short(self.rest)!r}"
            )
        if self.unknown:
            words = ", ".join(map(repr, map(_short, self.unknown[:SHOWN])))
            parts.append(f"holds words that the model does not know: {words}")
        return f"the text {_short(self.text)!r} " + "; it ".join(parts)


def find_unread(tokenizer: Tokenizer, text: str, length: int) -> Unread | None:
    """Return the parts that a model of `length` tokens cannot read; None if it reads all."""
    text = clean(text)
    tokens, unknown = tokenizer.count([text])[0], tuple(tokenizer.unknown(text))
    if tokens <= length and not unknown:
        return None
    rest = _rest(tokenizer, text, length) if tokens > length else ""
    return Unread(text=text, tokens=tokens, length=length, rest=rest, unknown=unknown)


def _rest(tokenizer: Tokenizer, text: str, length: int) -> str:
    """Return the words that follow the longest beginning of `text` that fits, by bisection."""
    words = text.split()
    fits, too_long = 0, len(words)  # an empty text fits, the whole text does not
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if tokenizer.count([" ".join(words[:middle])])[0] <= length:
            fits = middle
        else:
            too_long = middle
    return " ".join(words[fits:])


def _short(text: str, characters: int = 60) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
