"""Tokenisers: strings in, padded token ids and their mask out.

All follow T5 (Raffel et al. 2020): padding is 0, the end of a sequence 1, and the end token is kept
when a text is cut. The null text of classifier-free guidance is the empty string: one end token.
`reading.clean` is applied to every text, so that the same words give the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import sentencepiece
from etils import epath

from lumiere_jax.json_files import read_bytes
from lumiere_jax.text.reading import clean
from lumiere_jax.text.text import Tokens

PAD_ID = 0
EOS_ID = 1
MAXIMUM_BYTES = 64 << 20  # of a model file; that of mT5, with 250,000 pieces, has 4 MB


class Tokenizer(Protocol):
    """Interface of the tokenisers."""

    @property
    def vocabulary_size(self) -> int:
        """Return the number of rows that an embedding table needs."""
        ...

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """Return the tokens of each text, padded or cut to `length`, the end token included."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each whole text has, the end token included."""
        ...

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text with a character that has no token."""
        ...


class ByteTokenizer:
    """UTF-8 bytes as tokens, with ByT5's numbers (Xue et al. 2022): id = byte + 3.

    Needs no vocabulary file. Ids 0, 1 and 2 are padding, end and unknown; ids from 259 on are
    ByT5's spare tokens and never occur, but the embedding table has rows for them.
    """

    vocabulary_size = 384

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """Return the tokens of each text, see `Tokenizer.encode`."""
        return pad([[byte + 3 for byte in text.encode("utf-8")] for text in _listed(texts)], length)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, see `Tokenizer.count`."""
        return [len(text.encode("utf-8")) + 1 for text in _listed(texts)]

    def unknown(self, text: str) -> list[str]:
        """Return no words: every text is bytes."""
        return []


class SentencePieceTokenizer:
    """Tokens of a SentencePiece model file, such as T5's `spiece.model`.

    Args:
      path: path of the `.model` file.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is not a SentencePiece model, or its padding and end tokens are not T5's
        0 and 1.
    """

    def __init__(self, path: epath.PathLike):
        path = epath.Path(path)
        if not path.exists():
            raise FileNotFoundError(
                f"tokenizer={path}: no such file; give a SentencePiece .model file, or 'bytes'"
            )
        self._path = str(path)
        self._processor = _processor(read_bytes(path, MAXIMUM_BYTES), path)
        pad_id, eos_id = self._processor.pad_id(), self._processor.eos_id()
        if (pad_id, eos_id) != (PAD_ID, EOS_ID):
            raise ValueError(
                f"tokenizer={path}: pad id {pad_id} and end id {eos_id}; a T5 vocabulary has 0, 1"
            )

    @property
    def vocabulary_size(self) -> int:
        """Return the number of pieces; T5's published embedding tables have a few more rows."""
        return self._processor.vocab_size()

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """Return the tokens of each text, see `Tokenizer.encode`."""
        return pad(self._processor.encode(_listed(texts)), length)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, see `Tokenizer.count`."""
        return [len(ids) + 1 for ids in self._processor.encode(_listed(texts))]

    def unknown(self, text: str) -> list[str]:
        """Return the words with an unknown character, see `Tokenizer.unknown`."""
        unknown, words = self._processor.unk_id(), dict.fromkeys(clean(text).split())
        return [word for word in words if unknown in self._processor.encode(word)]

    def __reduce__(self):
        # Spawned data workers receive the path, and read the file again.
        return SentencePieceTokenizer, (self._path,)


def _processor(data: bytes, path: epath.Path) -> sentencepiece.SentencePieceProcessor:
    """Return the processor of a model file's bytes; `path` is for the error message.

    Raises:
      ValueError: the bytes are not a SentencePiece model, or cut short.
    """
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        processor.encode("a")  # a model that is cut short loads, and fails here
    except (RuntimeError, OSError, ValueError, IndexError):
        raise ValueError(
            f"tokenizer={path} is not a SentencePiece model, or is cut short; download it again"
        ) from None
    return processor


def open_tokenizer(name: epath.PathLike, rows: int | None = None) -> Tokenizer:
    """Open a tokeniser.

    Args:
      name: "bytes", or the path of a SentencePiece model.
      rows: number of rows of the text encoder's embedding table; unchecked when None.

    Raises:
      FileNotFoundError: `name` is neither.
      ValueError: the tokeniser has more tokens than the table has rows.
    """
    tokenizer = ByteTokenizer() if str(name) == "bytes" else SentencePieceTokenizer(name)
    if rows is not None and tokenizer.vocabulary_size > rows:
        raise ValueError(
            f"tokenizer={name} has {tokenizer.vocabulary_size} tokens, and the text encoder's "
            f"vocabulary_size is {rows}: take the encoder's own tokenizer, or a smaller one"
        )
    return tokenizer


def pad(sequences: Sequence[Sequence[int]], length: int) -> Tokens:
    """Append the end token to each sequence, and pad or cut it to `length` tokens with it.

    Raises:
      ValueError: `length` leaves no room for the end token.
    """
    if length < 1:
        raise ValueError(f"text_length={length}: at least 1, for the end token; 64 is a good value")
    ids = np.full((len(sequences), length), PAD_ID, np.int32)
    mask = np.zeros((len(sequences), length), bool)
    for row, sequence in enumerate(sequences):
        tokens = [*sequence[: length - 1], EOS_ID]
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = True
    return Tokens(ids, mask)


def _listed(texts: Sequence[str]) -> list[str]:
    """Return the cleaned texts as a list; raise a ValueError for a single string."""
    if isinstance(texts, str):
        raise ValueError(f"texts={texts!r}: expected a list of strings; write [{texts!r}]")
    return [clean(text) for text in texts]
