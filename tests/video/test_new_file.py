"""New files appear whole, never overwrite a file, and are written nowhere else."""

import threading

import numpy as np
import pytest

from lumiere_jax.generated import Generated
from lumiere_jax.video import check_output, new_file, refuse_full, replaced_file
from lumiere_jax.video.new_file import UNFINISHED


def test_a_broken_link_counts_as_existing(tmp_path):
    (tmp_path / "clip.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(FileExistsError, match=r"clip\.mp4 exists"), new_file(tmp_path / "clip.mp4"):
        pass
    assert not (tmp_path / "elsewhere.mp4").exists()


def test_a_file_that_appears_while_another_is_written_is_kept(tmp_path):
    path = tmp_path / "clip.mp4"

    def write():
        with new_file(path) as target:
            target.write_text("mine")
            path.symlink_to(tmp_path / "elsewhere.mp4")

    with pytest.raises(FileExistsError, match="exists"):
        write()
    assert path.is_symlink()


def test_a_file_kept_up_to_date_replaces_a_link_and_not_its_target(tmp_path):
    (tmp_path / "other").write_text("theirs")
    (tmp_path / "config.json").symlink_to(tmp_path / "other")
    with replaced_file(tmp_path / "config.json") as target:
        target.write_text("ours")
    assert (tmp_path / "config.json").read_text() == "ours"
    assert (tmp_path / "other").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "other"]


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("before")

    def write():
        with replaced_file(path) as target:
            target.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "before"


@pytest.mark.parametrize("place", ["file", "file/below", "file/below/it"])
def test_an_output_that_is_a_file_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match=rf"--output=.*{place}.* is not a folder"):
        check_output(tmp_path / place)


def test_an_output_with_too_little_room_is_refused(tmp_path):
    with pytest.raises(OSError, match="MiB are needed, and the disk has"):
        check_output(tmp_path, room=1 << 60)


def test_a_usable_output_is_not_changed(tmp_path):
    check_output(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [1, 2])
def test_programs_that_save_into_one_folder_at_once_keep_all_clips(tmp_path, frames):
    count, ready = 6, threading.Barrier(6)

    def save(seed):
        recipe = {"seed": seed}
        video = np.full((frames, 16, 16, 3), seed, np.uint8)
        clip = Generated(video=video, frame_rate=8.0, prompt="a box", recipe=recipe)
        ready.wait()
        clip.save_numbered(tmp_path)

    threads = [threading.Thread(target=save, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recipes = sorted(path.read_text() for path in tmp_path.glob("clip-*.json"))
    assert recipes == sorted(f'{{\n  "seed": {seed}\n}}\n' for seed in range(count))
    assert len(list(tmp_path.iterdir())) == count * (3 if frames > 1 else 2)


def test_a_full_folder_is_refused_by_its_flag_unless_what_it_holds_does_not_count(tmp_path):
    refuse_full(tmp_path)
    refuse_full(tmp_path / "new")
    (tmp_path / f"{UNFINISHED}x").mkdir()
    (tmp_path / "lock").write_text("")
    refuse_full(tmp_path, besides=("lock",))
    with pytest.raises(FileExistsError, match=r"--output=.* is not empty; give a new folder"):
        refuse_full(tmp_path)
    with pytest.raises(FileExistsError, match=r"--workdir=.* is not empty and holds no run;"):
        refuse_full(tmp_path, "--workdir", expected="run")
    with pytest.raises(FileExistsError, match="lock is not a folder"):
        refuse_full(tmp_path / "lock")


def test_a_clip_that_cannot_be_saved_leaves_nothing_behind(tmp_path):
    (tmp_path / "clip.json").write_text("{}")
    video = np.zeros((2, 16, 16, 3), np.uint8)
    clip = Generated(video=video, frame_rate=8.0, prompt="a box", recipe={})
    with pytest.raises(FileExistsError, match=r"clip\.json exists"):
        clip.save(tmp_path / "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.json"]


def test_a_numbered_clip_comes_after_the_largest_number(tmp_path):
    for name in ("clip-00007.mp4", f"clip-{'9' * 5000}"[:200], "clip-x.png"):
        (tmp_path / name).write_text("")
    video = np.zeros((1, 16, 16, 3), np.uint8)
    clip = Generated(video=video, frame_rate=8.0, prompt="word " * 100_000, recipe={})
    written = clip.save_numbered(tmp_path)
    assert [path.name for path in written] == ["clip-00008.png", "clip-00008.json"]
