"""Resampling by timestamp, on files whose pictures show their own time."""

from fractions import Fraction

import av
import numpy as np
import pytest

from lumiere_jax.video import read_video, resample
from lumiere_jax.video.decode import Timed

BITS = 15


def burn(milliseconds):
    """Return a picture that shows a number as black and white columns."""
    bits = [(milliseconds >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(np.array([*bits, 0], np.uint8) * 255, 8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (32, len(row), 3)))


def read_burnt(frame):
    columns = frame[:, : BITS * 8].reshape(32, BITS, 8, 3).mean((0, 2, 3)) > 127
    return int(sum(1 << bit for bit, white in enumerate(columns) if white))


def write_with_times(path, times, last_duration=40):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = 32, 8 * (BITS + 1), "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for time, after in zip(times, [*times[1:], times[-1] + last_duration], strict=True):
            frame = av.VideoFrame.from_ndarray(burn(time), format="rgb24")
            frame.pts, frame.time_base, frame.duration = time, Fraction(1, 1000), after - time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_variable_rate_clip_shows_what_is_on_screen_at_each_tick(tmp_path, container):
    steps = np.random.default_rng(0).choice([17, 33, 40, 100, 700], 60)
    times = [0, *np.cumsum(steps).tolist()]
    write_with_times(tmp_path / f"a.{container}", times)
    frames, fps = read_video(tmp_path / f"a.{container}", fps=16)
    assert fps == 16
    expected = []
    while len(expected) * 62.5 < times[-1]:
        now = len(expected) * 62.5 + 0.6  # such files round to milliseconds
        expected.append(max(time for time in times if time <= now))
    shown = [read_burnt(frame) for frame in frames]
    assert shown[: len(expected)] == expected
    assert set(shown[len(expected) :]) <= {times[-1]}
    assert len(shown) - len(expected) <= 1


def test_timestamps_rounded_to_milliseconds_neither_repeat_nor_drop_a_frame(tmp_path):
    times = [round(index * 1000 / 24) for index in range(48)]
    write_with_times(tmp_path / "a.mkv", times)
    frames, _ = read_video(tmp_path / "a.mkv", fps=24)
    shown = [read_burnt(frame) for frame in frames]
    assert shown == times[: len(shown)]
    assert len(shown) >= 47  # the container decides the duration of the last frame


def test_a_late_start_does_not_repeat_the_first_frame():
    frames = [Timed(5.0, 0.5, "a"), Timed(5.5, 0.5, "b")]
    assert list(resample(frames, 4)) == ["a", "a", "b", "b"]


def test_of_frames_that_start_together_the_later_one_is_shown():
    frames = [Timed(0.0, 0.5, "a"), Timed(0.5, 0.5, "b"), Timed(0.5, 0.5, "c")]
    assert list(resample(frames, 2)) == ["a", "c"]


def test_four_seconds_at_thirty_are_sixty_four_frames_at_sixteen():
    frames = [Timed(index / 30, 1 / 30, index) for index in range(120)]
    assert list(resample(frames, 16)) == [int(k * 30 / 16 + 1e-6) for k in range(64)]


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="fps=16"):
        list(resample([], 0))
