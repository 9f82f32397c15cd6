"""Manifests: a wrong row does not affect the others, and never disappears."""

import csv
import io
import json
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumiere_jax.preparation.clips import prepare
from lumiere_jax.preparation.sources import find_sources
from lumiere_jax.text import clean
from lumiere_jax.video import ClipConfig, write_mp4

# Any text that a line may hold; captions distinguish the rows.
TEXT = st.text(
    st.one_of(
        st.sampled_from("\",;\n\r\t\u2028\ufeff '\\é🔴"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=30,
)
PLAIN = st.text(string.ascii_letters + " é", min_size=1, max_size=12).filter(str.strip)
EXAMPLES = settings(max_examples=60, deadline=None)


def found(tmp_path, text, suffix="csv"):
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return find_sources(path)


def rows_of(tmp_path, text, suffix="csv"):
    return {
        source.name: source.problem[0] if source.problem else source.caption
        for source in found(tmp_path, text, suffix)
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests")


@EXAMPLES
@given(
    captions=st.lists(TEXT, min_size=1, max_size=6),
    last=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_csv_can_write_is_read_row_by_row(place, captions, last, end):
    target = io.StringIO(newline="")
    names = ["path", "caption"] if last else ["caption", "path"]
    # csv leaves \r unquoted where rows end with \n, and cannot read that again itself.
    quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    writer = csv.DictWriter(target, names, lineterminator=end, quoting=quoting)
    writer.writeheader()
    for number, caption in enumerate(captions):
        writer.writerow({"path": f"{number}.mp4", "caption": caption})
    sources = found(place, target.getvalue())
    assert [source.name for source in sources] == [f"{n}.mp4" for n in range(len(captions))]
    assert [source.caption for source in sources] == [clean(caption) for caption in captions]
    assert [source.problem is None for source in sources] == [bool(clean(c)) for c in captions]


@EXAMPLES
@given(captions=st.lists(TEXT, min_size=1, max_size=6), ascii_only=st.booleans())
def test_whatever_json_can_write_is_read_row_by_row(place, captions, ascii_only):
    rows = [{"path": f"{n}.mp4", "caption": caption} for n, caption in enumerate(captions)]
    lines = [json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows]
    sources = found(place, "".join(lines), "jsonl")
    assert [source.caption for source in sources] == [clean(caption) for caption in captions]


@EXAMPLES
@given(
    rows=st.lists(st.tuples(PLAIN, st.sampled_from(["", '"', ', "', ",x", "\0", "\rx", '"x"'])),
                  min_size=1, max_size=8),
    first=st.booleans(),
)  # fmt: skip
def test_a_stray_mark_or_comma_affects_its_own_row_alone(place, rows, first):
    lines = [f"{n}.mp4,{bad}{text}" if first else f"{n}.mp4,{text}{bad}"
             for n, (text, bad) in enumerate(rows)]  # fmt: skip
    sources = found(place, "\n".join(["path,caption", *lines, ""]))
    assert len(sources) == len(rows)
    for source, (number, (text, bad)) in zip(sources, enumerate(rows)):
        assert source.line == number + 2
        if source.problem is None:  # '"x"' before a text is wrong, and "" is valid
            assert (source.name, source.caption) == (f"{number}.mp4", clean(text))
        assert (source.problem is None) == (not bad)


@EXAMPLES
@given(data=st.one_of(TEXT.map(str.encode), st.binary(max_size=80)))
def test_a_row_of_any_bytes_does_not_affect_the_next(place, data):
    line = data.replace(b"\n", b"")
    good = b'{"path":"b.mp4","caption":"two"}\n'
    sources = found(place, good + line + b"\n" + good, "jsonl")
    assert len(sources) == (3 if line.decode("utf-8", "surrogateescape").strip() else 2)
    assert (sources[-1].name, sources[-1].caption) == ("b.mp4", "two")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('a.mp4,"one\nb.mp4,two\nc.mp4,"three\nd.mp4,four', "- two - four"),
        ('a.mp4,"one\nb.mp4,two"\nc.mp4,three', "- - three"),  # the two marks make a pair
        ('a.mp4,"one\nb.mp4,"two"\nc.mp4,three', "- two three"),
        ('a.mp4,one\nb.mp4,"two', "one -"),
        ('a.mp4, "one\nb.mp4, "two"', "- two"),
        ('a.mp4,"one\nb.mp4,","\nc.mp4,"x ""y"""', '- , x "y"'),
        ('a.mp4,5" wide\nb.mp4,two', "- two"),
        ("a.mp4,one,more\nb.mp4\nc.mp4,three", "- - three"),
        ("a.mp4,one\npath,caption\nb.mp4,two", "one - two"),
        ("a.mp4," + "x" * 200_000 + "\nb.mp4,two", "- two"),
        ('a.mp4,"' + "x\n" * 40_000 + '"\nb.mp4,two', None),
    ],
)
def test_the_rows_after_a_bad_one_are_read(tmp_path, rows, expected):
    sources = found(tmp_path, f"path,caption\n{rows}\n")
    if expected is None:  # a field that is never closed; its lines are not rows
        assert sources[0].problem[0] == sources[1].problem[0] == "bad manifest line"
        assert sources[-1].caption == "two"
    else:
        assert " ".join("-" if s.problem else s.caption for s in sources) == expected


def test_a_quoted_caption_may_span_lines_wherever_its_column_is(tmp_path):
    text = 'path,caption\na.mp4,"a ""big""\nred, ball"\nb.mp4,"x\n\ny"\n'
    assert rows_of(tmp_path, text) == {"a.mp4": 'a "big" red, ball', "b.mp4": "x y"}
    assert rows_of(tmp_path, 'caption,path\n"a dog\nruns",b.mp4\n') == {"b.mp4": "a dog runs"}
    # … but a caption that ends in another row is refused.
    swallowed = rows_of(tmp_path, 'caption,path\n"a dog,a.mp4\nruns",b.mp4\nsits,c.mp4\n')
    assert swallowed == dict.fromkeys(["line 2", "line 3"], "bad manifest line") | {"c.mp4": "sits"}


@pytest.mark.parametrize(
    "row",
    [
        '{"path":"a.mp4","caption":"so funny \\ud83d"}',
        "[" * 100_000,
        '{"path":"a.mp4","caption":"one","n":' + "9" * 5000 + "}",
        '{"path":"a.mp4","path":"b.mp4","caption":"one"}',
        '{"path":"a.mp4","caption":NaN}',
        '{"path":"a\\u0000.mp4","caption":"one"}',
        b'{"path":"a.mp4","caption":"caf\xe9"}',
        bytes(40),
        '{"path":"a.mp4","cap',
    ],
)
def test_invalid_json_affects_its_row_alone(tmp_path, row):
    row = row.encode() if isinstance(row, str) else row
    good = b'{"path":"b.mp4","caption":"two\xe2\x80\xa8lines"}'
    sources = found(tmp_path, good + b"\r\n" + row + b"\n" + good, "jsonl")
    assert [source.line for source in sources] == [1, 2, 3]
    assert sources[0].caption == sources[2].caption == "two lines"
    assert sources[1].problem[0] == "bad manifest line"
    assert "line 2" in sources[1].problem[1]


@pytest.mark.parametrize(
    ("data", "suffix", "message"),
    [
        ("path,caption\na.mp4,one\n".encode("utf-16"), "csv", "UTF-16; save it as UTF-8"),
        ("path,caption\na.mp4,one\n".encode("utf-16-le"), "csv", "UTF-16"),
        ("path,caption\ra.mp4,one\r", "csv", r"lines end with \\r alone"),
        ("path;caption\na.mp4;one\n", "csv", "semicolons"),
        ("path\tcaption\na.mp4\tone\n", "csv", "tabs"),
        ("path,caption,caption\na.mp4,one,two\n", "csv", "two columns 'caption'"),
        ('"path,caption\na.mp4,one\n', "csv", "first line"),
        ("<html>\n", "csv", "a web page"),
        ('{"path": "a.mp4", "caption": "one"}\n', "csv", r"name it \.jsonl"),
        ("", "csv", "first line must be: path,caption"),
        ('[{"path": "a.mp4", "caption": "one"}]', "jsonl", "one JSON array"),
        ('[\n{"path": "a.mp4", "caption": "one"},\n{"path": "b.mp4"}\n]', "jsonl", "JSON array"),
        ('{\n "path": "a.mp4",\n "caption": "one"\n}', "jsonl", "JSON over several lines"),
        ("<html>\n<body>\n", "jsonl", "a web page"),
        ("path\tcaption\n", "tsv", "not a folder"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_it_seems_to_be(
    tmp_path, data, suffix, message
):
    with pytest.raises(ValueError, match=rf"--source=.*m\.{suffix}.*{message}"):
        found(tmp_path, data, suffix)


def test_a_header_may_have_spaces_capitals_and_other_columns(tmp_path):
    text = '\ufeffid, Path , CAPTION\n1,a.mp4, a dog\n2,b.mp4,"one, two"\n'
    assert rows_of(tmp_path, text) == {"a.mp4": "a dog", "b.mp4": "one, two"}


def test_inputs_are_clips_and_rejections_together(tmp_path):
    for name in "abc":
        write_mp4(tmp_path / f"{name}.mp4", np.full((4, 16, 16, 3), 9, np.uint8), 8)
    rows = 'a.mp4,one\nb.mp4,"two\nc.mp4,three,four\nc.mp4,three\n\nd.mp4,missing\na.mp4,\n'
    (tmp_path / "m.csv").write_text("path,caption\n" + rows)
    index = prepare(tmp_path / "m.csv", tmp_path / "out", ClipConfig(size=16, frames=4, fps=8))
    assert index["counts"] == {
        "videos": 6,
        "clips": 2,
        "rejected": 4,
        "rejected_by_reason": {"bad manifest line": 2, "missing": 1, "no caption": 1},
    }
    lines = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3, 4, 7, 8]
