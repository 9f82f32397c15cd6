"""Decoding: right times, orientation and colours; unusable files are refused."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from lumiere_jax.video import ReadLimits, VideoError, open_video, read_video, write_mp4
from lumiere_jax.video.h264 import encode_h264

MATRIX = "00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000"
TURNED = "00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000"
RNG = np.random.default_rng(0)


def clip(frames=12, height=32, width=48):
    """Make a smooth, moving clip, which H.264 changes little."""
    t, y, x = np.mgrid[:frames, :height, :width].astype(float)
    planes = [np.sin(x / 9 + t / 5), np.cos(y / 7 - t / 4), np.sin((x + y) / 11 + t / 6)]
    return np.stack([127 + 100 * plane for plane in planes], -1).astype(np.uint8)


def test_a_written_clip_reads_back_with_its_frame_rate(tmp_path):
    write_mp4(tmp_path / "a.mp4", clip(), 12.5)
    frames, fps = read_video(tmp_path / "a.mp4")
    assert fps == 12.5
    assert frames.shape == (12, 32, 48, 3)
    assert np.abs(frames.astype(int) - clip()).mean() < 3


def test_a_phone_video_stands_upright(tmp_path):
    frames = np.zeros((2, 32, 48, 3), np.uint8)
    frames[:, :16, :24] = 255  # the stored picture is white at its top left
    write_mp4(tmp_path / "a.mp4", frames, 16)
    data = (tmp_path / "a.mp4").read_bytes()
    # The track header's matrix: a quarter turn clockwise, as upright phones write it.
    track = data.index(b"tkhd")
    place = data.index(bytes.fromhex(MATRIX), track)
    (tmp_path / "b.mp4").write_bytes(data[:place] + bytes.fromhex(TURNED) + data[place + 36 :])
    upright, _ = read_video(tmp_path / "b.mp4")
    assert upright.shape == (2, 48, 32, 3)
    assert upright[0, 2, -3].min() > 240  # white moved to the top right
    assert upright[0, 2, 2].max() < 15


@pytest.mark.parametrize(("height", "standard"), [(48, "601"), (720, "709")])
def test_untagged_colours_are_read_as_players_read_them(tmp_path, height, standard):
    red, green, blue = 40, 160, 90
    weights = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}[standard]
    luma = weights[0] * red + (1 - sum(weights)) * green + weights[1] * blue
    planes = (
        16 + luma * 219 / 255,
        128 + (blue - luma) / (2 - 2 * weights[1]) * 224 / 255,
        128 + (red - luma) / (2 - 2 * weights[0]) * 224 / 255,
    )
    yuv = np.concatenate([np.full((height, 48), round(p), np.uint8) for p in planes])
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = height, 48, "yuv444p"
        frame = av.VideoFrame.from_ndarray(yuv.reshape(3, height, 48), format="yuv444p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, _ = read_video(tmp_path / "a.mp4")
    assert np.abs(frames[0].reshape(-1, 3).mean(0) - (red, green, blue)).max() < 2


def test_four_twenty_video_is_not_darkened(tmp_path):
    write_mp4(tmp_path / "a.mp4", clip(), 16, crf=1)
    frames, _ = read_video(tmp_path / "a.mp4")
    assert np.abs((frames.astype(float) - clip()).mean()) < 0.5


def test_limits_are_checked_before_decoding(tmp_path):
    write_mp4(tmp_path / "a.mp4", clip(), 16)
    for limits, name in (
        (ReadLimits(max_pixels=1000), "max_pixels=1000"),
        (ReadLimits(max_frames=11), "max_frames=11"),
        (ReadLimits(max_seconds=0.5), "max_seconds=0.5"),
    ):
        with (
            pytest.raises(VideoError, match=name) as error,
            open_video(tmp_path / "a.mp4", limits),
        ):
            pass
        assert error.value.reason == "too large"


def test_a_file_that_lasts_longer_than_its_header_says_is_stopped(tmp_path):
    with av.open(str(tmp_path / "a.ts"), "w") as container:  # this format declares no frames
        stream = container.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for frame in clip(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    with (
        open_video(tmp_path / "a.ts", ReadLimits(max_frames=20)) as video,
        pytest.raises(VideoError, match="21 frames"),
    ):
        list(video.frames())


def test_a_file_cut_off_in_the_middle_is_corrupt(tmp_path):
    write_mp4(tmp_path / "a.mp4", RNG.integers(0, 256, (12, 32, 48, 3), np.uint8), 16)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError) as error:
        read_video(tmp_path / "b.mp4")
    assert error.value.reason == "corrupt"


def test_damage_that_the_decoder_conceals_is_noticed(tmp_path):
    write_mp4(tmp_path / "a.mp4", clip(24, 64, 96), 16)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    start = data.index(b"mdat") + 1500
    data[start : start + 400] = bytes(400)
    (tmp_path / "b.mp4").write_bytes(data)
    with pytest.raises(VideoError) as error:
        read_video(tmp_path / "b.mp4")
    assert error.value.reason == "corrupt"


@pytest.mark.parametrize("content", [b"", b"not a video" * 99, b"\0" * 5000])
def test_a_file_that_is_not_a_video_is_unreadable(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError) as error:
        read_video(tmp_path / "a.mp4")
    assert error.value.reason == "unreadable"


def test_a_playlist_cannot_make_the_reader_open_another_file(tmp_path):
    write_mp4(tmp_path / "secret.mp4", clip(), 16)
    secret = tmp_path / "secret.mp4"
    playlists = {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
        "list.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError, match="unreadable"):
            read_video(tmp_path / name)


def test_a_sound_file_has_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video"):
        read_video(tmp_path / "a.mp4")


def test_wide_pixels_are_shown_at_their_shape(tmp_path):
    # 32 × 64 pixels, each twice as wide as high: a square picture with a white right half.
    frames = np.zeros((1, 64, 32, 3), np.uint8)
    frames[:, :, 16:] = 255
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 64, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[0], format="rgb24")))
        container.mux(stream.encode())
    square, _ = read_video(tmp_path / "a.mp4", size=16)
    assert square.shape == (1, 16, 16, 3)
    assert square[0, :, :6].max() < 20
    assert square[0, :, 10:].min() > 235


def test_same_frames_same_bytes():
    first, second = io.BytesIO(), io.BytesIO()
    encode_h264(first, clip(), 16, crf=12)
    encode_h264(second, clip(), 16, crf=12)
    assert first.getvalue() == second.getvalue()


def test_a_video_too_large_for_memory_is_refused_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr("lumiere_jax.video.read.MAXIMUM_BYTES", 5 * 32 * 48 * 3)
    write_mp4(tmp_path / "a.mp4", clip(), 16)
    with pytest.raises(VideoError, match="frames=80"):
        read_video(tmp_path / "a.mp4")
    assert len(read_video(tmp_path / "a.mp4", frames=5)[0]) == 5
