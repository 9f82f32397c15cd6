"""Train a small SentencePiece tokeniser whose pieces are the whole words of given captions.

    python -m lumiere_jax.train_tokenizer --output=words/spiece.model   # of the synthetic set
    python -m lumiere_jax.train_tokenizer --output=words/spiece.model --captions=captions.txt

A text encoder that is trained from scratch responds to whole words much sooner than it learns to
spell (docs/notes/training_the_demo.md). The first command wrote `data/words/spiece.model`, which
`configs/demo.py` reads; `--config.data.tokenizer` names another. Words that are not in the captions
are split into smaller pieces, down to characters.
"""

from __future__ import annotations

from absl import flags
from etils import epath

from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.preparation.tokenizer import (
    LARGEST_VOCABULARY,
    VOCABULARY,
    synthetic_captions,
    train_tokenizer,
)
from lumiere_jax.structure import check_whole
from lumiere_jax.text.reading import read_lines
from lumiere_jax.video.new_file import check_output, new_file, refuse_existing


def define_flags() -> None:
    """Define the flags, only if this file is the program."""
    define_path("output", None, "Model file to write; must not exist.", required=True)
    define_path("captions", None, "Text file, a caption a line; the synthetic set's by default.")
    flags.DEFINE_integer("vocabulary", VOCABULARY, "Largest number of pieces.")


def main(_: list[str]) -> None:
    """Train the tokeniser that the flags describe, and write its file."""
    values, output = flags.FLAGS, epath.Path(flags.FLAGS.output)
    check_whole("--vocabulary", values.vocabulary, 128, LARGEST_VOCABULARY)
    try:
        refuse_existing(output)
    except FileExistsError:
        raise ValueError(f"--output={output} exists; choose another or remove it") from None
    if values.captions:
        captions = [text for _, text in read_lines(values.captions, "--captions")]
    else:
        captions = synthetic_captions()
    check_output(output.parent)
    model = train_tokenizer(captions, values.vocabulary)
    with new_file(output) as path:
        path.write_bytes(model)
    print(f"tokeniser of {len(captions)} captions in {output}")


if __name__ == "__main__":
    define_flags()
    run(main)
