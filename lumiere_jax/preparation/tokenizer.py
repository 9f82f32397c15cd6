"""Train a SentencePiece tokeniser whose pieces are the whole words of given captions."""

from __future__ import annotations

import io
import string
from collections.abc import Sequence

import numpy as np
import sentencepiece

from lumiere_jax.moving_shapes.captions import caption
from lumiere_jax.moving_shapes.scenes import combinations
from lumiere_jax.structure import check_whole
from lumiere_jax.text.reading import clean
from lumiere_jax.text.tokenizers import EOS_ID, PAD_ID

VOCABULARY = 384  # as many as ByT5's, so that `T5Config.preset("demo")` fits
PHRASINGS = 12  # of every combination of the synthetic set
CHARACTERS = "".join(c for c in string.printable if c.isprintable() and c != " ")
SPACE = "\u2581"  # SentencePiece's mark of the beginning of a word
SPECIAL = 3  # padding, end and unknown
LARGEST_VOCABULARY = 1 << 18  # pieces, as many as the largest multilingual models have
LONGEST_LINE = 1 << 20  # bytes of a caption; SentencePiece skips those above its limit


def synthetic_captions() -> list[str]:
    """Return captions of all training combinations of the synthetic set, in several phrasings."""
    return [
        caption(attributes, np.random.default_rng((number, phrasing)))
        for number, attributes in enumerate(combinations("train"))
        for phrasing in range(PHRASINGS)
    ]


def train_tokenizer(captions: Sequence[str], vocabulary: int = VOCABULARY) -> bytes:
    """Return a SentencePiece model file (byte-pair encoding, T5's special numbers) of captions.

    Every printable ASCII character is a piece, so that no English word is unknown.

    Args:
      captions: texts to learn from; they are cleaned first, see `clean`.
      vocabulary: largest number of pieces.

    Raises:
      ValueError: there are no captions, a caption is too long, or the captions have more different
        characters than the vocabulary has room for.
    """
    check_whole("--vocabulary", vocabulary, SPECIAL + 1, LARGEST_VOCABULARY)
    captions = [text for text in map(clean, captions) if text]
    if not captions:
        raise ValueError("captions: none given; a caption a line is expected")
    longest = max(len(text.encode()) for text in captions)
    if longest > LONGEST_LINE:
        raise ValueError(
            f"captions: one has {longest} bytes, the limit is {LONGEST_LINE}; a caption a line is "
            "expected"
        )
    _check_room(captions, vocabulary)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(captions),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary,
            hard_vocab_limit=False,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=2,
            bos_id=-1,
            character_coverage=1.0,
            required_chars=CHARACTERS,
            normalization_rule_name="identity",  # T5's tables would be fifty times the rest
            max_sentence_length=longest + 1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"SentencePiece cannot learn from these captions: {error}") from error
    return model.getvalue()


def _check_room(captions: Sequence[str], vocabulary: int) -> None:
    """Raise a ValueError with the smallest vocabulary that has room for every character."""
    characters = set(CHARACTERS).union(SPACE, *captions) - {" "}
    if (least := len(characters) + SPECIAL) > vocabulary:
        raise ValueError(
            f"--vocabulary={vocabulary} is too small: the captions have {len(characters)} "
            f"different characters; give --vocabulary={least} for these alone, more for words"
        )
