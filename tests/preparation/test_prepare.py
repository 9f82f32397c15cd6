"""Preparation gives exact clips, lists every input, and is safe to interrupt."""

import errno
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader

from lumiere_jax.input_pipeline.records import decode_clip
from lumiere_jax.only_writer import only_writer
from lumiere_jax.preparation import clips as preparing
from lumiere_jax.preparation import shards
from lumiere_jax.preparation.clips import prepare
from lumiere_jax.preparation.sources import find_sources, hash_sources
from lumiere_jax.video import ClipConfig, ReadLimits, write_mp4

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = ClipConfig(size=32, frames=4, fps=16)
FLAGS = ["--size=32", "--frames=4", "--clips_per_shard=3"]


def shot(seed, frames):
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(0, 256, (3, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    return np.stack([np.roll(ground, index, 1)[:, :64] for index in range(frames)])


@pytest.fixture
def videos(tmp_path):
    """Write five good videos (3 + 2 + 3 + 1 + 4 clips), and four that cannot be used."""
    folder = tmp_path / "videos"
    contents = {
        "a": shot(0, 12),
        "b": np.concatenate([shot(1, 7), shot(2, 5)]),  # a cut
        "c": shot(3, 13),
        "d": shot(4, 4),
        "e": shot(5, 16),
        "short": shot(6, 3),
        "uncaptioned": shot(7, 8),
    }
    for name, frames in contents.items():
        write_mp4(folder / f"{name}.mp4", frames, 16)
        if name != "uncaptioned":
            (folder / f"{name}.txt").write_text(f"caption of {name}\n")
    whole = (folder / "e.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "cut.txt").write_text("cut off")
    (folder / "garbage.mp4").write_bytes(b"\0garbage" * 50)
    (folder / "garbage.txt").write_text("garbage")
    return folder


def command(videos, output, *flags):
    run = [sys.executable, "-m", "lumiere_jax.prepare", f"--source={videos}", f"--output={output}"]
    return [*run, *FLAGS, *flags]


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def clips_of(folder):
    index = json.loads((folder / "index.json").read_text())
    records = []
    for shard in index["shards"]:
        reader = ArrayRecordReader(str(folder / shard["file"]))
        assert reader.num_records() == shard["records"]
        records += [reader.read([number])[0] for number in range(shard["records"])]
        reader.close()
    return index, [decode_clip(record) for record in records]


def test_every_video_becomes_clips_or_is_listed_with_the_reason(videos, tmp_path):
    index = prepare(videos, tmp_path / "out", SETTINGS, clips_per_shard=3)
    on_disk, clips = clips_of(tmp_path / "out")
    assert on_disk == index
    assert index["counts"] == {
        "videos": 9,
        "clips": 13,
        "rejected": 4,
        "rejected_by_reason": {"corrupt": 1, "no caption": 1, "too short": 1, "unreadable": 1},
    }
    assert index["sizes"]["clip"] == [4, 32, 32, 3]
    assert [shard["records"] for shard in index["shards"]] == [3, 3, 3, 3, 1]
    lines = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    rejected = {entry["path"]: entry["reason"] for entry in map(json.loads, lines)}
    assert rejected == {
        "cut.mp4": "corrupt",
        "garbage.mp4": "unreadable",
        "short.mp4": "too short",
        "uncaptioned.mp4": "no caption",
    }
    assert {clip.frames.shape for clip in clips} == {(4, 32, 32, 3)}
    assert [clip.source[0] for clip in clips] == list("aaabbcccdeeee")
    assert clips[3].caption == "caption of b"
    # The cut of b is at frame 7: one clip of four before it, the next one starts there.
    assert [clip.start for clip in clips[3:5]] == [0.0, 7 / 16]
    assert not (tmp_path / "out" / "progress").exists()


def test_a_manifest_does_the_same_as_a_folder(videos, tmp_path):
    rows = [{"path": f"{name}.mp4", "caption": f"caption of {name}"} for name in "abcde"]
    rows.append({"path": "nowhere.mp4", "caption": "x"})
    manifest = videos / "list.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    index = prepare(manifest, tmp_path / "out", SETTINGS)
    assert index["counts"]["clips"] == 13
    assert index["counts"]["rejected_by_reason"] == {"missing": 1}
    assert index["shards"][0]["records"] == 13


def test_a_run_killed_several_times_gives_the_same_output(videos, tmp_path):
    prepare(videos, tmp_path / "whole", SETTINGS, clips_per_shard=3)
    output = tmp_path / "killed"
    kills = 0
    for new_files in (1, 4, 5):  # while it reads, and around the first and second shard
        before = names(output)
        run = subprocess.Popen(
            command(videos, output, "--workers=0"), cwd=ROOT, stderr=subprocess.DEVNULL
        )
        while run.poll() is None and len(names(output) - before) < new_files:
            time.sleep(0.0005)
        run.send_signal(signal.SIGKILL)
        kills += run.wait() == -signal.SIGKILL
    assert kills  # all three, unless this machine is so busy that a run ended first
    subprocess.run(command(videos, output, "--workers=2"), cwd=ROOT, check=True)
    assert contents(output) == contents(tmp_path / "whole")


def names(folder):
    # os.walk skips files that are deleted meanwhile, as unfinished ones are; rglob raises.
    found = {
        os.path.join(place, name) for place, *kinds in os.walk(folder) for k in kinds for name in k
    }
    return {path for path in found if ".unfinished-" not in path}


def test_a_run_killed_while_it_cleans_up_cleans_up_the_next_time(videos, tmp_path):
    prepare(videos, tmp_path / "out", SETTINGS)
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "progress").mkdir()
    (tmp_path / "out" / "progress" / "shard-00000.json").write_text("{}")
    prepare(videos, tmp_path / "out", SETTINGS)
    assert contents(tmp_path / "out") == before


def test_work_done_before_an_interruption_is_not_done_again(videos, tmp_path, monkeypatch):
    output = tmp_path / "out"

    def interrupt_at_e(path, settings):
        if str(path).endswith("e.mp4"):
            raise KeyboardInterrupt
        return cut(path, settings)

    cut = preparing.cut_clips
    monkeypatch.setattr(preparing, "cut_clips", interrupt_at_e)
    with pytest.raises(KeyboardInterrupt):
        prepare(videos, output, SETTINGS, clips_per_shard=7)
    read = []
    monkeypatch.setattr(
        preparing, "cut_clips", lambda path, s: read.append(pathlib.Path(path).name) or cut(path, s)
    )
    index = prepare(videos, output, SETTINGS, clips_per_shard=7)
    # Clips 0 … 6 were in a shard; c, whose last clips were not, and d waited in progress/.
    assert read == ["e.mp4", "garbage.mp4", "short.mp4"]
    assert index["counts"]["clips"] == 13


def test_the_number_of_workers_changes_nothing(videos, tmp_path):
    prepare(videos, tmp_path / "one", SETTINGS, clips_per_shard=3)
    prepare(videos, tmp_path / "two", SETTINGS, clips_per_shard=3, worker_count=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_other_settings_are_refused_with_the_flag_and_nothing_changes(videos, tmp_path):
    output = tmp_path / "out"
    prepare(videos, output, SETTINGS)
    before = contents(output)
    for changed, flag in (
        ({"settings": ClipConfig(size=64, frames=4, fps=16)}, "--size=64 differs from --size=32"),
        ({"settings": ClipConfig(size=32, frames=8, fps=16)}, "--frames=8"),
        ({"settings": ClipConfig(size=32, frames=4, fps=8)}, "--fps=8"),
        ({"encoding": "jpeg"}, "--encoding=jpeg"),
    ):
        arguments = {"settings": SETTINGS, **changed}
        with pytest.raises(ValueError, match=flag):
            prepare(videos, output, **arguments)
    (videos / "a.txt").write_text("another caption")
    with pytest.raises(ValueError, match="--source holds other videos or captions"):
        prepare(videos, output, SETTINGS)
    assert contents(output) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"worker_count": -1}, "--workers=-1"),
        ({"clips_per_shard": 0}, "--clips_per_shard=0"),
        ({"encoding": "vp9"}, "h264, h264_small"),
        ({"encoding": "h264_small", "settings": ClipConfig(size=33)}, "--size=34"),
        ({"worker_count": 100_000}, "--workers=100000"),
        ({"clips_per_shard": 10**9}, "--clips_per_shard=1000000000"),
        ({"settings": ClipConfig(frames=2000, size=2048)}, "GiB a clip"),
        ({"settings": ClipConfig(limits=ReadLimits(max_seconds=math.nan))}, "--max_seconds=nan"),
    ],
)
def test_invalid_values_are_refused_before_anything_is_written(videos, tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        prepare(videos, tmp_path / "out", **{"settings": SETTINGS, **changed})
    assert not (tmp_path / "out").exists()


def interrupted(videos, output, monkeypatch, name="e.mp4"):
    """Begin to prepare, and interrupt at a video."""
    cut = preparing.cut_clips

    def interrupt(path, settings):
        if str(path).endswith(name):
            raise KeyboardInterrupt
        return cut(path, settings)

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "cut_clips", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(videos, output, SETTINGS, clips_per_shard=3)


@pytest.mark.parametrize("damage", [b"", bytes(200), b"{"])
@pytest.mark.parametrize(
    "pattern",
    [
        "progress/shard-00000.json",
        "progress/shard-00001.json",
        "progress/*.msgpack",
        "progress/settings.json",
        "clips-00001.array_record",
    ],
)
def test_files_damaged_by_a_power_cut_are_made_again(
    videos, tmp_path, monkeypatch, pattern, damage
):
    whole, output = tmp_path / "whole", tmp_path / "out"
    prepare(videos, whole, SETTINGS, clips_per_shard=3)
    interrupted(videos, output, monkeypatch)
    paths = list(output.glob(pattern))
    assert paths
    for path in paths:
        path.write_bytes(damage)
    prepare(videos, output, SETTINGS, clips_per_shard=3)
    assert contents(output) == contents(whole)


def test_a_file_that_is_not_an_index_is_named(videos, tmp_path):
    output = tmp_path / "out"
    prepare(videos, output, SETTINGS)
    (output / "index.json").write_text("<html>")
    with pytest.raises(ValueError, match=r"index\.json is not JSON.*web page.*_jax\.prepare"):
        prepare(videos, output, SETTINGS)
    index = {"format": 1, "settings": {}, "shards": [{"file": "../x"}]}
    (output / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"index\.json is not an index"):
        prepare(videos, output, SETTINGS)


def test_a_replaced_video_is_noticed_by_its_time_unless_it_was_only_copied(
    videos, tmp_path, monkeypatch
):
    output = tmp_path / "out"
    interrupted(videos, output, monkeypatch)
    os.utime(videos / "a.mp4", (1e9, 1e9))
    with pytest.raises(ValueError, match=r"written again since.*--nocheck_times"):
        prepare(videos, output, SETTINGS, clips_per_shard=3)
    index = prepare(videos, output, SETTINGS, clips_per_shard=3, check_times=False)
    assert index["counts"]["clips"] == 13


def test_a_folder_of_an_earlier_release_is_resumed(videos, tmp_path, monkeypatch):
    output = tmp_path / "out"
    interrupted(videos, output, monkeypatch)
    path = output / "progress" / "settings.json"
    settings = json.loads(path.read_text())
    settings["source_hash"] = hash_sources(find_sources(videos)).sizes
    del settings["source_times"]
    path.write_text(json.dumps(settings))
    assert prepare(videos, output, SETTINGS, clips_per_shard=3)["counts"]["clips"] == 13


def test_a_second_run_into_the_same_folder_is_refused_without_harm(videos, tmp_path):
    output = tmp_path / "out"
    message = f"another run is writing into --output={output}"
    with (
        only_writer(output / "progress", f"--output={output}"),
        pytest.raises(BlockingIOError, match=message),
    ):
        prepare(videos, output, SETTINGS)
    assert prepare(videos, output, SETTINGS)["counts"]["clips"] == 13


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux")
def test_an_unusable_output_is_refused_before_the_videos_are_read(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "cut_clips", lambda *_: 1 / 0)
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "in", "/proc/nothing", "/dev/full/x"):
        with pytest.raises(OSError, match=f"--output={output}"):
            prepare(videos, output, SETTINGS)


def test_a_full_disk_is_one_line_and_the_run_resumes(videos, tmp_path, monkeypatch):
    output = tmp_path / "out"

    def full(path, records):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_shard", full)
        with pytest.raises(OSError, match=f"--output={output}: the disk is full; make room"):
            prepare(videos, output, SETTINGS)
    assert prepare(videos, output, SETTINGS)["counts"]["clips"] == 13


def test_a_finished_dataset_is_not_changed(videos, tmp_path):
    index = prepare(videos, tmp_path / "out", SETTINGS)
    before = contents(tmp_path / "out")
    assert prepare(videos, tmp_path / "out", SETTINGS) == index
    assert contents(tmp_path / "out") == before


def test_a_folder_with_other_files_is_refused(videos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="--output"):
        prepare(videos, tmp_path / "out", SETTINGS)
    assert contents(tmp_path / "out") == {"thesis.tex": b"precious"}


def test_the_command_reports_and_fails_in_one_line(videos, tmp_path):
    output = tmp_path / "out"
    run = subprocess.run(
        command(videos, output, "--workers=2"), cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "13 clips of 9 videos" in run.stdout
    assert "4 videos rejected" in run.stdout
    for flags, message in (
        (["--size=64"], "--size=64 differs"),
        (["--frames=0"], "frames=0"),
        (["--fps=nan"], "fps=nan"),
        ([os.fsdecode(b"--source=\xff")], "not UTF-8"),
    ):
        run = subprocess.run(
            command(videos, output, *flags), cwd=ROOT, capture_output=True, text=True
        )
        assert run.returncode != 0
        assert run.stderr.startswith("error: ")
        assert message in run.stderr
        assert run.stderr.count("\n") == 1


def test_a_run_without_clips_fails_and_names_the_file_of_reasons(videos, tmp_path):
    run = subprocess.run(
        command(videos, tmp_path / "out", "--frames=99", "--workers=0"),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "rejected.jsonl says why" in run.stderr
    assert (tmp_path / "out" / "rejected.jsonl").read_text().count("\n") == 9
