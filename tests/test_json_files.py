"""Untrusted JSON is read within limits, or refused in one line that names the file."""

import json
import os

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lumiere_jax.json_files import parse_json, plain_name, read_json, read_json_lines

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_what_python_writes_is_read_back(value):
    text = json.dumps(value)
    assert parse_json(text, "x") == value
    assert parse_json(b"\xef\xbb\xbf" + text.encode(), "x") == value


@given(st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode))
def test_anything_else_is_refused_in_one_line_with_the_file(data):
    message = None
    try:
        parse_json(data, "some.json")
    except ValueError as error:
        message = str(error)
    assert message is None or (message.startswith("some.json ") and "\n" not in message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("<!DOCTYPE html>", "like a web page"),
        ('{"a": 1', "not JSON"),
        ('{"a": 1, "a": 2}', "'a' comes twice"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": "\\ud83d"}', "half of a surrogate pair"),
        ("[" * 100_000, "nests deeper than 64"),
        ("[" * 65 + "]" * 65, "nests deeper than 64"),
        ("9" * 5000, "thousands of digits"),
    ],
)
def test_ambiguous_json_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text, "x.json")


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("[]", dict, r"model\.json holds an array, expected an object; download it again"),
        ("7", list, r"model\.json holds the value 7, expected an array"),
        ("", dict, r"model\.json is not JSON: it is empty; download it again"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_to_do(tmp_path, content, kind, message):
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_json(path, kind=kind, advice="download it again")


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "model.json")
    with pytest.raises(ValueError, match="a device or a pipe"):
        read_json(tmp_path / "model.json")


@given(st.binary(max_size=40).filter(lambda cut: b"\n" not in cut))
def test_a_journal_survives_half_lines_and_zero_bytes(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("journal") / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + cut + b'\n{"step": 2, "loss": NaN}\n{"st')
    lines = dict(read_json_lines(path))
    assert lines.pop(1) == {"step": 1}
    assert lines[3]["step"] == 2
    assert set(lines) <= {2, 3}


@given(st.text(min_size=1))
def test_a_plain_name_stays_in_its_folder(name):
    try:
        assert plain_name(name, "model.json") == name
    except ValueError:
        return
    assert os.path.dirname(os.path.normpath(os.path.join("/folder", name))) == "/folder"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "gs://b/x", "", "..", "a\\b", "a\0", None])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match=r"model\.json: .* plain name"):
        plain_name(name, "model.json")
