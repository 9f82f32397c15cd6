"""The same words become the same text, whether from flags, files or Python."""

import codecs
import unicodedata

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lumiere_jax.text import (
    ByteTokenizer,
    clean,
    find_unread,
    open_tokenizer,
    read_lines,
    read_text,
    split_lines,
)

TEXT = st.text(st.characters(codec="utf-8"))
SPACES = [" ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c", "\u2009"]
NOTHING = ["\ufeff", "\u200b", "\u200d", "\x07", "\x00", "\u00ad", "\u202e", "\ufe0f", "\u2060"]
WORDS = st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=1)


@given(TEXT)
def test_clean_text_is_one_line_of_composed_words_and_stays_as_it_is(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in cleaned)


@given(WORDS, st.data())
def test_any_white_space_any_accents_and_nothing_visible_give_the_same_words(words, data):
    gaps = st.lists(st.sampled_from(SPACES), min_size=1, max_size=3).map("".join)
    noise = st.sampled_from(["", *NOTHING])
    pieces = []
    for word in words:
        pieces += [data.draw(noise), unicodedata.normalize("NFD", word), data.draw(gaps)]
    assert clean("".join(pieces)) == clean(" ".join(words))


@given(TEXT, st.booleans())
def test_tokens_are_those_of_the_clean_text(text, bom):
    tokenizer = ByteTokenizer()
    given_text = ("\ufeff" if bom else "") + text
    assert (tokenizer.encode([given_text], 64).ids == tokenizer.encode([clean(text)], 64).ids).all()


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(ValueError, match="character 4 is half of a surrogate pair"):
        clean("so \ud83d")


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"))), st.booleans())
def test_lines_end_at_newlines_and_nowhere_else(lines, windows):
    lines = [line.removesuffix("\r") for line in lines]
    end = "\r\n" if windows else "\n"
    assert split_lines("".join(line + end for line in lines)) == lines


@pytest.mark.parametrize("start", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_does_not_matter(tmp_path, start, end):
    path = tmp_path / "prompts.txt"
    path.write_bytes(start + end.join([b"a  red\tcircle", b"", "a\u2028box".encode()]) + end)
    assert read_lines(path) == [(1, "a red circle"), (3, "a box")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"fine\nalso fine\ncaf\xe9 at night\n",
            r"--prompts=.*: line 3 is not UTF-8 \(byte 0xe9\)",
        ),
        ("a box".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_a_file_of_another_encoding_is_named_with_its_line(tmp_path, data, message):
    path = tmp_path / "prompts.txt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_text(path, "--prompts")


def test_a_missing_file_names_the_flag(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--prompts: .*none\.txt: no such file"):
        read_text(tmp_path / "none.txt", "--prompts")


def test_unread_and_unknown_words_are_named():
    tokenizer = open_tokenizer("data/words/spiece.model")
    assert find_unread(tokenizer, "a red circle", 32) is None
    lost = find_unread(tokenizer, "a red circle " * 20 + "moves 漢字", 32)
    assert (lost.length, lost.unknown) == (32, ("漢字",))
    assert lost.tokens == tokenizer.count([lost.text])[0] > 32
    read = lost.text.removesuffix(lost.rest)
    assert tokenizer.count([read])[0] <= 32 < tokenizer.count([read + lost.rest.split()[0]])[0]
    assert "32" in str(lost)
    assert "漢字" in str(lost)


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "é"]), max_size=40), st.integers(1, 40))
def test_a_text_is_unread_exactly_where_tokens_are_cut(words, length):
    tokenizer, text = ByteTokenizer(), " ".join(words)
    lost = find_unread(tokenizer, text, length)
    assert (lost is None) == (tokenizer.count([text])[0] <= length)
    if lost is not None:
        assert text.endswith(lost.rest)
        assert lost.rest
