import pickle
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece

from lumiere_jax.text import ByteTokenizer, open_tokenizer


def test_bytes_are_shifted_by_three_and_end_with_one():
    tokens = ByteTokenizer().encode(["hi", ""], length=5)
    np.testing.assert_array_equal(tokens.ids, [[107, 108, 1, 0, 0], [1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(tokens.mask, [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    assert tokens.ids.dtype == np.int32
    assert tokens.mask.dtype == bool


def test_a_text_that_is_too_long_keeps_its_end_token():
    tokens = ByteTokenizer().encode(["abcdef"], length=3)
    np.testing.assert_array_equal(tokens.ids, [[100, 101, 1]])
    assert tokens.mask.all()


def test_the_largest_byte_stays_inside_the_vocabulary():
    ids = ByteTokenizer().encode(["é漢\U0001f600"], length=16).ids
    assert ids.max() == max("é漢\U0001f600".encode()) + 3 < ByteTokenizer.vocabulary_size == 384


def test_no_room_for_the_end_token_is_refused():
    with pytest.raises(ValueError, match="text_length=0"):
        ByteTokenizer().encode(["a"], length=0)


def test_a_bare_string_is_refused():
    with pytest.raises(ValueError, match="list of strings"):
        ByteTokenizer().encode("abc", length=8)


def test_open_tokenizer_knows_bytes_and_names_a_missing_file(tmp_path):
    assert isinstance(open_tokenizer("bytes"), ByteTokenizer)
    with pytest.raises(FileNotFoundError, match=r"tokenizer=.*missing\.model"):
        open_tokenizer(tmp_path / "missing.model")


@pytest.fixture
def spiece(tmp_path):
    words = "a red green blue circle square moves left right up down on dark light ground"
    path = tmp_path / "spiece.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([words] * 50),
            model_writer=file,
            vocab_size=40,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
    return path


def test_a_sentencepiece_model_pads_like_t5_and_survives_pickling(spiece):
    tokenizer = open_tokenizer(spiece)
    tokens = tokenizer.encode(["a red circle", ""], length=24)
    count = tokens.mask[0].sum()
    assert tokens.ids[0, count - 1] == 1
    assert (tokens.ids[0, count:] == 0).all()
    np.testing.assert_array_equal(tokens.ids[1, :2], [1, 0])
    assert tokens.ids.max() < tokenizer.vocabulary_size
    copy = pickle.loads(pickle.dumps(tokenizer))
    np.testing.assert_array_equal(copy.encode(["a red circle", ""], 24).ids, tokens.ids)


def test_more_tokens_than_the_encoder_has_rows_are_refused(spiece):
    count = open_tokenizer(spiece).vocabulary_size
    assert open_tokenizer(spiece, rows=count).vocabulary_size == count
    with pytest.raises(ValueError, match=rf"spiece\.model has {count} tokens.*is {count - 1}"):
        open_tokenizer(spiece, rows=count - 1)


def test_tokenising_imports_no_jax():
    code = (
        "import sys, lumiere_jax.text as text; text.open_tokenizer('bytes').encode(['a'], 4);"
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
