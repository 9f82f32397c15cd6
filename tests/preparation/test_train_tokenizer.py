import pathlib
import re
import subprocess
import sys

import pytest

from lumiere_jax.moving_shapes.captions import heldout_prompts
from lumiere_jax.preparation.tokenizer import synthetic_captions, train_tokenizer
from lumiere_jax.text import open_tokenizer, read_lines

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


def test_english_text_has_no_unknown_tokens():
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


def test_a_vocabulary_too_small_for_the_characters_names_one_that_is_not():
    texts = ["".join(chr(0x4E00 + 7 * index + line) for index in range(40)) for line in range(20)]
    with pytest.raises(ValueError, match="--vocabulary=384 is too small") as error:
        train_tokenizer(texts)
    least = int(re.search(r"give --vocabulary=(\d+)", str(error.value))[1])
    assert train_tokenizer(texts, least)
    with pytest.raises(ValueError, match=f"give --vocabulary={least}"):
        train_tokenizer(texts, least - 1)
    with pytest.raises(ValueError, match=r"--vocabulary=1000000000 lies outside"):
        train_tokenizer(texts, 10**9)


def test_long_captions_are_learnt_whole_and_longer_ones_refused(tmp_path):
    path = tmp_path / "spiece.model"
    path.write_bytes(train_tokenizer(["a red circle"] * 5 + ["wonderfully " * 600 + "unusual"]))
    assert open_tokenizer(path).count(["wonderfully unusual"]) == [3]
    with pytest.raises(ValueError, match=r"one has 1200001 bytes"):
        train_tokenizer(["x" * 1_200_001])


def test_marks_and_line_ends_are_ignored_and_other_bytes_name_their_line(tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_bytes(b"\xef\xbb\xbfa dog runs\r\nthe dog\tsleeps\r\n" * 20)
    plain = train_tokenizer(["a dog runs", "the dog sleeps"] * 20)
    assert train_tokenizer([text for _, text in read_lines(captions)]) == plain
    captions.write_bytes(b"a dog\ncaf\xe9\n")
    command = [sys.executable, "-m", "lumiere_jax.train_tokenizer", f"--output={tmp_path}/m"]
    done = subprocess.run([*command, f"--captions={captions}"], capture_output=True, text=True)
    assert done.stderr.startswith(f"error: --captions={captions}: line 2 is not UTF-8")
    assert done.stderr.count("\n") == 1


def test_the_command_learns_the_captions_of_a_file_and_never_overwrites(tmp_path):
    captions, output = tmp_path / "captions.txt", tmp_path / "words/spiece.model"
    captions.write_text("a dog runs\nthe dog sleeps\n" * 20)
    command = [sys.executable, "-m", "lumiere_jax.train_tokenizer", f"--output={output}"]
    command += [f"--captions={captions}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert open_tokenizer(output).encode(["the dog runs"], 8).mask.sum() == 4
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"error: --output={output} exists" in again.stderr
