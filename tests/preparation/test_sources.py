"""The videos of folders and manifests, and the problems of some of them."""

import json
import os

import pytest

from lumiere_jax.preparation.clips import prepare
from lumiere_jax.preparation.sources import find_sources, hash_sources
from lumiere_jax.video import ClipConfig


def touch(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_a_folder_is_searched_with_its_subfolders_in_a_fixed_order(tmp_path):
    touch(tmp_path, b_dot_mp4="v", b_dot_txt=" a\n dog ", a__c_dot_MOV="v", notes_dot_txt="x")
    first, second = find_sources(tmp_path)
    assert (first.name, first.problem[0]) == ("a/c.MOV", "no caption")
    assert (second.name, second.caption, second.problem) == ("b.mp4", "a dog", None)


def test_empty_and_unreadable_captions_are_named(tmp_path):
    touch(tmp_path, a_dot_mp4="v", a_dot_txt=" \n", b_dot_mp4="v", b_dot_txt=b"\xff\xfe\xfa")
    touch(tmp_path, c_dot_mp4="v", c_dot_txt=b"a\ncaf\xe9\n")
    assert [source.problem for source in find_sources(tmp_path)] == [
        ("no caption", "a.txt is empty"),
        ("no caption", "b.txt is UTF-16; save it as UTF-8"),
        ("no caption", "c.txt: line 2 is not UTF-8 (byte 0xe9); save the file as UTF-8"),
    ]


def test_a_jsonl_manifest_gives_paths_relative_to_itself(tmp_path):
    rows = '{"path": "x/a.mp4", "caption": "größer"}\n\n{"path": "b.mp4"}\nnonsense\n[1]\n'
    touch(tmp_path, m_dot_jsonl=rows)
    good, bare, broken, other = find_sources(tmp_path / "m.jsonl")
    assert (good.name, good.caption) == ("x/a.mp4", "größer")
    assert good.path == str(tmp_path / "x/a.mp4")
    assert bare.problem == ("no caption", "line 3 has no caption")
    assert broken.name == "line 4"
    assert broken.problem[0] == other.problem[0] == "bad manifest line"


def test_a_csv_manifest_may_quote_commas_and_start_with_a_mark(tmp_path):
    touch(tmp_path, m_dot_csv='\ufeffcaption,path\n"a dog, running",a.mp4\n,b.mp4\n')
    first, second = find_sources(tmp_path / "m.csv")
    assert (first.name, first.caption) == ("a.mp4", "a dog, running")
    assert second.problem == ("no caption", "the caption of line 3 is empty")


def test_wrong_sources_are_refused_with_the_flag(tmp_path):
    touch(tmp_path, m_dot_csv="file,text\na,b\n", e_dot_jsonl="\n", n_dot_txt="x")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "m.csv": "no column 'caption'",
        "e.jsonl": "holds no video",
        "n.txt": "not a folder",
        "empty": "holds no video",
    }.items():
        with pytest.raises(ValueError, match=f"--source=.*{message}"):
            find_sources(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="--source"):
        find_sources(tmp_path / "nowhere")


def test_linked_folders_are_searched_once_also_in_circles(tmp_path):
    home, disk = tmp_path / "home", tmp_path / "disk"
    touch(home, a_dot_mp4="v", a_dot_txt="one")
    touch(disk, b_dot_mp4="v", b_dot_txt="two", deep__c_dot_mp4="v", deep__c_dot_txt="three")
    for name, target in {
        "again": disk,  # the same folder as "more", and before it in the order of names
        "more": disk,
        "loop": home,
        "up": tmp_path,  # only its folders that were not searched before
        "nowhere.mp4": tmp_path / "gone",
        "self.mp4": home / "self.mp4",
    }.items():
        (home / name).symlink_to(target)
    sources = find_sources(home)
    names = ["a.mp4", "again/b.mp4", "again/deep/c.mp4", "nowhere.mp4", "self.mp4"]
    assert [source.name for source in sources] == names
    assert sources == find_sources(home)


def test_names_that_are_not_utf8_are_rejected_and_escaped(tmp_path):
    bad = os.fsdecode(b"b\xe9.mp4")
    touch(tmp_path, a_dot_mp4="v", a_dot_txt="one")
    (tmp_path / bad).write_bytes(b"v")
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    (tmp_path / os.fsdecode(b"\xff") / "c.mp4").write_bytes(b"v")
    index = prepare(tmp_path, tmp_path / "out", ClipConfig(size=16, frames=4, fps=8))
    assert index["counts"]["videos"] == 3
    assert index["counts"]["rejected_by_reason"] == {"bad name": 2, "unreadable": 1}
    text = (tmp_path / "out" / "rejected.jsonl").read_text()
    assert {json.loads(line)["path"] for line in text.splitlines()} == {
        "a.mp4",
        "b\\udce9.mp4",
        "\\udcff/c.mp4",
    }


def test_other_files_than_regular_ones_are_rejected_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "a.txt")
    touch(tmp_path, a_dot_mp4="v", pipe_dot_txt="a pipe", long_dot_mp4="v")
    touch(tmp_path, long_dot_txt="words " * 30_000)
    found = {source.name: source.problem for source in find_sources(tmp_path)}
    assert found["a.mp4"] == ("no caption", "a.txt is a device or a pipe, expected a file")
    assert found["long.mp4"][0] == "no caption"
    rows = [{"path": name, "caption": "x"} for name in ("pipe.mp4", ".", "y" * 5000)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ClipConfig(size=16, frames=4, fps=8)
    index = prepare(tmp_path / "m.jsonl", tmp_path / "out", settings)
    assert index["counts"]["rejected_by_reason"] == {"unreadable": 3}


def test_captions_are_the_same_words_however_they_are_written(tmp_path):
    touch(tmp_path, a_dot_mp4="v", a_dot_txt="\ufeffcafe\u0301\r\n\u00a0a\u200b\tdog\x07")
    (tmp_path / "m.csv").write_text("path,caption\nx.mp4,caf\u00e9 a dog\n")
    (one,), (other,) = find_sources(tmp_path), find_sources(tmp_path / "m.csv")
    assert one.caption == other.caption == "caf\u00e9 a dog"


def test_the_hash_differs_for_another_caption_or_file(tmp_path):
    touch(tmp_path, a_dot_mp4="v", a_dot_txt="one")
    before = hash_sources(find_sources(tmp_path))
    assert hash_sources(find_sources(tmp_path)) == before
    touch(tmp_path, a_dot_txt="two")
    caption = hash_sources(find_sources(tmp_path))
    touch(tmp_path, a_dot_txt="one", a_dot_mp4="longer")
    assert len({before, caption, hash_sources(find_sources(tmp_path))}) == 3


@pytest.mark.parametrize("place", [0, 50_000, 250_000, 299_999])
def test_a_file_of_equal_size_is_another_by_its_ends_or_its_time(tmp_path, place):
    data = bytearray(300_000)
    touch(tmp_path, a_dot_mp4=bytes(data), a_dot_txt="one")
    os.utime(tmp_path / "a.mp4", (1e9, 1e9))
    before = hash_sources(find_sources(tmp_path))
    os.utime(tmp_path / "a.mp4", (1e9, 2e9))
    touched = hash_sources(find_sources(tmp_path))
    assert touched.content == before.content
    assert touched.times != before.times
    data[place] = 1
    touch(tmp_path, a_dot_mp4=bytes(data))
    changed = hash_sources(find_sources(tmp_path))
    assert changed.sizes == before.sizes  # all that earlier releases compared
    assert changed.content != before.content
