"""Which videos there are: folders, manifests, and what is wrong with some."""

import pytest

from data.sources import find_sources, hash_sources


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
    details = [source.problem for source in find_sources(tmp_path)]
    assert details == [("no caption", "a.txt is empty"), ("no caption", "b.txt is not UTF-8")]


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


def test_the_hash_tells_another_caption_or_another_file(tmp_path):
    touch(tmp_path, a_dot_mp4="v", a_dot_txt="one")
    before = hash_sources(find_sources(tmp_path))
    assert hash_sources(find_sources(tmp_path)) == before
    touch(tmp_path, a_dot_txt="two")
    caption = hash_sources(find_sources(tmp_path))
    touch(tmp_path, a_dot_txt="one", a_dot_mp4="longer")
    assert len({before, caption, hash_sources(find_sources(tmp_path))}) == 3
