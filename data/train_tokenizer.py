"""Trains a small SentencePiece tokeniser whose pieces are the whole words of given captions.

    python -m data.train_tokenizer --output=words/spiece.model   # of the synthetic set
    python -m data.train_tokenizer --output=words/spiece.model --captions=captions.txt

A text encoder that is trained from nothing hears whole words much sooner than it learns to spell
(docs/training.md). `data/words/spiece.model` is what the first command writes, and what
`configs/demo.py` reads; `--config.data.tokenizer` names another. Words that the captions do not
hold are cut into smaller pieces, down to characters.
"""

from __future__ import annotations

import io
import string
from collections.abc import Sequence

import numpy as np
import sentencepiece
from absl import app, flags
from etils import epath

from lumiere_jax.input_pipeline.captions import caption
from lumiere_jax.input_pipeline.scenes import combinations
from lumiere_jax.text.tokenizers import EOS_ID, PAD_ID

VOCABULARY = 384  # as many as ByT5's, so that `T5Config.preset("demo")` fits
PHRASINGS = 12  # of every combination of the synthetic set
CHARACTERS = "".join(c for c in string.printable if c.isprintable() and c != " ")


def synthetic_captions() -> list[str]:
    """Captions of all training combinations of the synthetic set, in several phrasings."""
    return [
        caption(attributes, np.random.default_rng((number, phrasing)))
        for number, attributes in enumerate(combinations("train"))
        for phrasing in range(PHRASINGS)
    ]


def train_tokenizer(captions: Sequence[str], vocabulary: int = VOCABULARY) -> bytes:
    """A SentencePiece model file (byte-pair encoding, T5's special numbers) of these captions.

    Every printable ASCII character is a piece, so that no English word is unknown.

    Raises:
      ValueError: no captions, or more different characters than the vocabulary has room for.
    """
    if not any(text.strip() for text in captions):
        raise ValueError("captions: none given; a caption a line is expected")
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
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"SentencePiece: {error}; give a larger --vocabulary") from error
    return model.getvalue()


def define_flags() -> None:
    """Flags, only where this file is the program: tests import it beside others."""
    flags.DEFINE_string("output", None, "Model file to write; must not exist.", required=True)
    flags.DEFINE_string(
        "captions", None, "Text file, a caption a line; the synthetic set's by default."
    )
    flags.DEFINE_integer("vocabulary", VOCABULARY, "Pieces at most.", lower_bound=128)


def main(argv: list[str]) -> None:
    """Writes what the flags say."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; write --flag=value")
    values, output = flags.FLAGS, epath.Path(flags.FLAGS.output)
    if output.exists():
        raise SystemExit(f"error: --output={output} exists; choose another or remove it")
    if values.captions and not epath.Path(values.captions).is_file():
        raise SystemExit(f"error: --captions={values.captions}: no such file")
    try:
        captions = (
            epath.Path(values.captions).read_text().splitlines()
            if values.captions
            else synthetic_captions()
        )
        model = train_tokenizer(captions, values.vocabulary)
    except UnicodeDecodeError as error:
        raise SystemExit(f"error: --captions={values.captions} is not UTF-8: {error}") from None
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(model)
    print(f"tokeniser of {len(captions)} captions in {output}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
