import pathlib
import subprocess
import sys

import pytest

from data.train_tokenizer import synthetic_captions, train_tokenizer
from lumiere_jax.input_pipeline.captions import heldout_prompts
from lumiere_jax.text import open_tokenizer

SHIPPED = pathlib.Path("data/words/spiece.model")


def words(text):
    return text.replace(",", " ,").replace(":", " :").split()


def test_every_word_of_the_synthetic_set_is_one_token_held_out_combinations_too():
    texts = synthetic_captions() + heldout_prompts()
    tokens = open_tokenizer(SHIPPED).encode(texts, length=32)
    assert [row.sum() for row in tokens.mask] == [len(words(text)) + 1 for text in texts]


def test_training_it_again_gives_the_shipped_vocabulary(tmp_path):
    again = tmp_path / "spiece.model"
    again.write_bytes(train_tokenizer(synthetic_captions()))
    texts = synthetic_captions()[::50]
    made, shipped = (open_tokenizer(path).encode(texts, 32) for path in (again, SHIPPED))
    assert made.ids.tolist() == shipped.ids.tolist()


def test_no_english_text_is_unknown_to_it():
    text = "A quick zebra; 12 (or 34) jumps!"
    tokens = open_tokenizer(SHIPPED).encode([text, "\u6f22"], length=64)
    unknown = 2
    assert unknown not in tokens.ids[0]
    assert unknown in tokens.ids[1]


@pytest.mark.parametrize(
    ("captions", "message"), [([], "a caption a line"), (["\u6f22\u5b57" * 3], None)]
)
def test_captions_of_any_kind_are_learnt_and_none_are_refused(captions, message):
    if message is None:
        assert train_tokenizer(captions)
    else:
        with pytest.raises(ValueError, match=message):
            train_tokenizer(captions)


def test_the_command_learns_a_file_s_captions_and_writes_over_nothing(tmp_path):
    captions, output = tmp_path / "captions.txt", tmp_path / "words/spiece.model"
    captions.write_text("a dog runs\nthe dog sleeps\n" * 20)
    command = [sys.executable, "-m", "data.train_tokenizer", f"--output={output}"]
    command += [f"--captions={captions}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert open_tokenizer(output).encode(["the dog runs"], 8).mask.sum() == 4
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"error: --output={output} exists" in again.stderr
