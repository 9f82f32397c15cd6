"""The last frames are the same as those of the whole video, and cost less to read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumiere_jax.video import decode, read_video, tail
from tests.video.files import numbered, write_pictures

ENCODERS = {
    "mp4": ("libx264", {"preset": "ultrafast"}),
    "mkv": ("libx264", {"preset": "ultrafast"}),
    "ts": ("libx264", {"preset": "ultrafast"}),
    "avi": ("mpeg4", {}),
    "mpg": ("mpeg2video", {}),
    "webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(ENCODERS)),
    steps=st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=3, max_size=60),
    group=st.integers(1, 20),
    reordered=st.integers(0, 3),
    open_groups=st.booleans(),
    fps=st.sampled_from([3.0, 8.0, 12.5, 25.0, 30.0]),
    last=st.integers(1, 30),
)
def test_the_last_frames_are_those_of_the_whole_video(
    tmp_path_factory, name, steps, group, reordered, open_groups, fps, last
):
    codec, options = ENCODERS[name]
    options = {**options, "g": str(group), "b": "1000000"}
    if codec != "libvpx":
        options["bf"] = str(reordered)
    if codec == "libx264" and open_groups:
        options |= {"x264-params": "open-gop=1", "preset": "veryfast"}
    times = np.cumsum([0, *(steps if name in ("mp4", "mkv", "webm") else [1] * len(steps))])
    path = tmp_path_factory.mktemp("tail") / f"a.{name}"
    write_pictures(path, map(numbered, times), codec, times=times.tolist(), options=options)
    whole, _ = read_video(path, fps=fps)
    end, rate = read_video(path, fps=fps, last=last)
    assert rate == fps
    np.testing.assert_array_equal(end, whole[-last:])
    small, _ = read_video(path, fps=fps, last=last, size=16)
    np.testing.assert_array_equal(small, read_video(path, fps=fps, size=16)[0][-last:])


@pytest.mark.parametrize("name", ["mp4", "mkv", "ts", "avi", "webm"])
def test_the_frames_before_the_last_ones_are_not_decoded(tmp_path, name, monkeypatch):
    codec, options = ENCODERS[name]
    options = {**options, "g": "10", "bf": "0"} if codec != "libvpx" else {**options, "g": "10"}
    path = write_pictures(tmp_path / f"a.{name}", map(numbered, range(300)), codec, options=options)
    made = []
    monkeypatch.setattr(
        decode, "DecodedFrame", lambda *given: made.append(given) or tail.DecodedFrame(*given)
    )
    assert len(read_video(path, last=5)[0]) == 5
    assert len(made) < 40


def test_two_files_joined_end_with_the_end_of_the_second(tmp_path):
    parts = [
        write_pictures(tmp_path / f"{k}.ts", map(numbered, range(100 * k, 100 * k + 40)),
                       "mpeg2video", options={"g": "8", "bf": "0"})
        for k in range(2)
    ]  # fmt: skip
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    whole, _ = read_video(joined)
    np.testing.assert_array_equal(read_video(joined, last=50)[0], whole[-50:])
    assert len(whole) == 80
