"""Times of decoded frames rise, no frame is lost, and joined recordings stay separate."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumiere_jax.video import ClipConfig, VideoError, cut_clips, read_video
from lumiere_jax.video.timeline import Timed, timeline
from tests.video.files import numbered, read_number, write_pictures

steps = st.lists(st.sampled_from([0.04, 0.04, 0.1, 2.5]), min_size=8, max_size=30)


def recording(steps, first=0):
    times = np.cumsum([0.0, *steps])
    return [Timed(float(time), 0.04, first + k) for k, time in enumerate(times)]


@given(parts=st.lists(steps, min_size=1, max_size=4), exchanged=st.sets(st.integers(0, 30)))
def test_recordings_follow_one_another_whole(parts, exchanged):
    frames, numbers = [], []
    for part in parts:
        one = recording(part, first=len(frames))
        for k in exchanged:  # two neighbours with each other's time, away from the joints
            if not 3 < k < len(one) - 5:
                continue
            starts = [frame.start for frame in one[k - 2 : k + 4]]
            if all(0 < after - before < 1 for before, after in pairwise(starts)):
                a, b = one[k], one[k + 1]
                one[k], one[k + 1] = Timed(b.start, 0.04, a.value), Timed(a.start, 0.04, b.value)
        numbers.append([frame.value for frame in one])
        frames += one
    shown = list(timeline(frames))
    assert [frame.value for _, frame in shown] == list(range(len(frames)))
    times = [frame.start for _, frame in shown]
    assert times == sorted(times)
    sections = [section for section, _ in shown]
    assert sections == [k for k, part in enumerate(numbers) for _ in part]
    expected = recording(parts[0])
    assert times[: len(expected)] == [frame.start for frame in expected]


def test_a_section_starts_where_the_last_frame_ends():
    frames = recording([0.04] * 9) + recording([0.04] * 9)
    starts = [frame.start for _, frame in timeline(frames)]
    np.testing.assert_allclose(starts, np.arange(20) * 0.04)


def test_two_pictures_of_a_second_recording_are_a_section_if_they_lie_far_back():
    frames = recording([1.0] * 9) + recording([1.0])
    assert [section for section, _ in timeline(frames)] == [0] * 10 + [1] * 2


def test_many_frames_with_one_time_are_damage():
    with pytest.raises(VideoError, match="share the time 3 s") as error:
        list(timeline([Timed(3.0, 0.04, k) for k in range(40)]))
    assert error.value.reason == "corrupt"


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.ts", "libx264", {"preset": "ultrafast", "bf": "2"}),
        ("a.mpg", "mpeg2video", {"bf": "2"}),
        ("a.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
def test_no_clip_reaches_over_the_joint_of_two_files(tmp_path, name, codec, options):
    options = {**options, "b": "2000000"}
    for part, numbers in enumerate((range(24), range(100, 116))):
        write_pictures(tmp_path / f"{part}-{name}", map(numbered, numbers), codec, options=options)
    joined = tmp_path / name
    joined.write_bytes(b"".join((tmp_path / f"{part}-{name}").read_bytes() for part in (0, 1)))
    shown = [read_number(frame) for frame in read_video(joined, fps=25)[0]]
    assert shown == [*range(24), *range(100, 116)]
    clips = cut_clips(joined, ClipConfig(size=32, frames=7, fps=25))
    starts = [round(start * 25) for start, _ in clips]
    assert not any(start < 24 < start + 7 for start in starts)
    assert {0, 24} <= set(starts)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_pictures_that_an_avi_stores_out_of_order_come_in_order(tmp_path, codec):
    options = {"bf": "3", "b": "2000000"}
    path = write_pictures(tmp_path / "a.avi", map(numbered, range(24)), codec, options=options)
    shown = [read_number(frame) for frame in read_video(path)[0]]
    assert shown == list(range(24))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.flv", "flv"), ("a.wmv", "wmv2")],
)
def test_joined_files_of_which_players_show_the_first_only_are_rejected(tmp_path, name, codec):
    path = write_pictures(tmp_path / name, map(numbered, range(8)), codec)
    assert len(read_video(path, fps=25)[0]) == 8
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(VideoError) as error:
        read_video(path, fps=25)
    assert error.value.reason == "joined"


def test_a_fragmented_film_is_one_film(tmp_path):
    options = {"movflags": "frag_keyframe+empty_moov"}
    pictures = map(numbered, range(30))
    path = write_pictures(
        tmp_path / "a.mp4", pictures, options={"g": "5"}, container_options=options
    )
    assert len(read_video(path, fps=25)[0]) == 30
