"""Tokenisers: strings in, padded token ids and their mask out.

All follow T5 (Raffel et al. 2020): pad 0, end of sequence 1, the end token kept when a text is
cut. The null text of classifier-free guidance is the tokens of the empty string: one end token.
Texts pass `reading.clean` first: the same words give the same tokens wherever they come from.
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
MAXIMUM_BYTES = 64 << 20  # of a model file; mT5's, of 250,000 pieces, has 4 MB


class Tokenizer(Protocol):
    """What the rest of the framework asks of a tokeniser."""

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding table needs."""
        ...

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """Return tokens of each text, padded or cut to `length` tokens (the end token included)."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each whole text has, the end token included."""
        ...

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that hold a character for which there is no token."""
        ...


class ByteTokenizer:
    """UTF-8 bytes as tokens, with ByT5's numbers (Xue et al. 2022): id = byte + 3.

    Needs no vocabulary file. Ids 0, 1 and 2 are padding, end and unknown; ids from 259 on are
    ByT5's spare tokens and never occur, but the embedding table has rows for them.
    """

    vocabulary_size = 384

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """See `Tokenizer.encode`."""
        return pad([[byte + 3 for byte in text.encode("utf-8")] for text in _listed(texts)], length)

    def count(self, texts: Sequence[str]) -> list[int]:
        """See `Tokenizer.count`."""
        return [len(text.encode("utf-8")) + 1 for text in _listed(texts)]

    def unknown(self, text: str) -> list[str]:
        """See `Tokenizer.unknown`; every text is bytes."""
        return []


class SentencePieceTokenizer:
    """A SentencePiece model file, such as T5's `spiece.model`.

    Args:
      path: the `.model` file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the model's padding and end tokens are not T5's 0 and 1.
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
        """Pieces in the model; T5's published embedding tables have a few spare rows more."""
        return self._processor.vocab_size()

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """See `Tokenizer.encode`."""
        return pad(self._processor.encode(_listed(texts)), length)

    def count(self, texts: Sequence[str]) -> list[int]:
        """See `Tokenizer.count`."""
        return [len(ids) + 1 for ids in self._processor.encode(_listed(texts))]

    def unknown(self, text: str) -> list[str]:
        """See `Tokenizer.unknown`."""
        unknown, words = self._processor.unk_id(), dict.fromkeys(clean(text).split())
        return [word for word in words if unknown in self._processor.encode(word)]

    def __reduce__(self):
        # Data workers are spawned: they get the path, and read the file again.
        return SentencePieceTokenizer, (self._path,)


def _processor(data: bytes, path: epath.Path) -> sentencepiece.SentencePieceProcessor:
    """Return the processor of a model file's bytes.

    Raises:
      ValueError: cut short, or something else than a SentencePiece model.
    """
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        processor.encode("a")  # a cut model loads, and fails only now
    except (RuntimeError, OSError, ValueError, IndexError):
        raise ValueError(
            f"tokenizer={path} is not a SentencePiece model, or is cut short; download it again"
        ) from None
    return processor


def open_tokenizer(name: epath.PathLike, rows: int | None = None) -> Tokenizer:
    """Open the tokeniser called `name`: "bytes", or the path of a SentencePiece model.

    Args:
      rows: of the embedding table that will be read with it; unchecked when None.

    Raises:
      FileNotFoundError: `name` is neither.
      ValueError: it has more tokens than the table has rows.
    """
    tokenizer = ByteTokenizer() if str(name) == "bytes" else SentencePieceTokenizer(name)
    if rows is not None and tokenizer.vocabulary_size > rows:
        raise ValueError(
            f"tokenizer={name} has {tokenizer.vocabulary_size} tokens, and the text encoder's "
            f"vocabulary_size is {rows}: take the encoder's own tokenizer, or a smaller one"
        )
    return tokenizer


def pad(sequences: Sequence[Sequence[int]], length: int) -> Tokens:
    """Appends the end token to each sequence, then pads or cuts it to `length` tokens.

    Raises:
      ValueError: there is no room even for the end token.
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
    """Return the texts as a list, clean."""
    if isinstance(texts, str):
        raise ValueError(f"texts={texts!r}: expected a list of strings; write [{texts!r}]")
    return [clean(text) for text in texts]
