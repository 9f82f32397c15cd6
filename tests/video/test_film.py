"""A film is read as a player shows it: the right stream, upright, on white."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from lumiere_jax.video import (
    ReadLimits,
    VideoError,
    open_video,
    read_metadata,
    read_video,
)
from lumiere_jax.video import read as reading
from tests.video.files import LOSSLESS, numbered, read_number, write_pictures

CORNERS = np.zeros((48, 64, 3), np.uint8)
CORNERS[:16, :21], CORNERS[:16, -21:], CORNERS[-16:, :21] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# (degrees counterclockwise, mirrored afterwards) → what a player shows
ORIENTATIONS = {
    (0, False): CORNERS,
    (90, False): np.rot90(CORNERS),
    (180, False): np.rot90(CORNERS, 2),
    (270, False): np.rot90(CORNERS, 3),
    (0, True): CORNERS[:, ::-1],
    (90, True): np.rot90(CORNERS)[:, ::-1],
    (180, True): np.rot90(CORNERS, 2)[:, ::-1],
    (270, True): np.rot90(CORNERS, 3)[:, ::-1],
    (100, False): np.rot90(CORNERS),  # the nearest quarter turn
}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(("degrees", "mirrored"), ORIENTATIONS)
def test_a_film_is_shown_upright(tmp_path, name, degrees, mirrored):
    path = write_pictures(
        tmp_path / name,
        [CORNERS] * 2,
        pixels="yuv444p",
        options=LOSSLESS["libx264"],
        prepare=lambda stream: stream.set_display_rotation(degrees, hflip=mirrored),
    )
    expected = ORIENTATIONS[degrees, mirrored]
    shown = read_video(path)[0][0]
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 3


def test_turned_wide_pixels_are_high_pixels(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        stream.set_display_rotation(90)

    path = write_pictures(tmp_path / "a.mp4", [np.zeros((64, 32, 3), np.uint8)], prepare=prepare)
    assert read_video(path)[0].shape == (1, 32, 64, 3)
    assert read_video(path, square_pixels=True)[0].shape == (1, 32, 32, 3)


ALPHA = np.zeros((32, 64, 4), np.uint8)
ALPHA[..., 0], ALPHA[..., 3] = 200, np.linspace(0, 255, 64)


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "error"),
    [
        ("a.mov", "qtrle", "argb", 0),
        ("a.mkv", "ffv1", "bgra", 0),
        ("a.apng", "apng", "rgba", 0),
        ("a.avi", "rawvideo", "bgra", 0),
        ("b.mov", "prores_ks", "yuva444p10le", 2),
        ("a.webm", "libvpx", "yuva420p", 4),
        ("b.webm", "libvpx-vp9", "yuva420p", 4),
    ],
)
def test_transparent_films_are_shown_on_white(tmp_path, name, codec, pixels, error):
    options = {"auto-alt-ref": "0", "b": "4000000"} if codec.startswith("libvpx") else {}
    path = write_pictures(tmp_path / name, [ALPHA] * 4, codec, pixels, options=options)
    opacity = ALPHA[..., 3:] / 255.0
    expected = np.rint(ALPHA[..., :3] * opacity + 255 * (1 - opacity))
    shown = read_video(path)[0][0]
    assert np.abs(shown - expected).max() <= error


def write_streams(path, streams):
    """Write (codec, side in pixels, pictures, disposition), each of one grey: 50, 100, …"""
    with av.open(str(path), "w") as container:
        packets = []
        opened = [container.add_stream(codec, rate=8) for codec, *_ in streams]
        for index, (stream, (codec, side, count, disposition)) in enumerate(
            zip(opened, streams, strict=True)
        ):
            stream.height = stream.width = side
            stream.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
            stream.disposition = disposition
            picture = np.full((side, side, 3), 50 * (index + 1), np.uint8)
            for _ in range(count):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                packets += stream.encode(frame)
            packets += stream.encode()
        for packet in packets:
            container.mux(packet)


COVER = ("png", 256, 1, Disposition.attached_pic)


@pytest.mark.parametrize(
    ("streams", "film"),
    [
        ([COVER, ("libx264", 32, 9, Disposition.default)], 1),
        ([("libx264", 32, 9, Disposition(0)), ("libx264", 64, 9, Disposition.default)], 1),
        ([("libx264", 64, 9, Disposition.default), ("libx264", 32, 9, Disposition(0))], 0),
        ([("mjpeg", 256, 1, Disposition.default), ("libx264", 32, 9, Disposition(0))], 1),
    ],
)
def test_the_film_is_the_stream_that_players_choose(tmp_path, streams, film):
    write_streams(tmp_path / "a.mp4", streams)
    frames, _ = read_video(tmp_path / "a.mp4")
    assert len(frames) == 9
    assert frames.mean() == pytest.approx(50 * (film + 1), abs=2)


def test_a_cover_alone_is_not_a_video(tmp_path):
    write_streams(tmp_path / "a.mp4", [COVER])
    with pytest.raises(VideoError, match="only a cover picture") as error:
        read_video(tmp_path / "a.mp4")
    assert error.value.reason == "no video"


@pytest.mark.parametrize(("name", "known"), [("a.mp4", b"avc1"), ("a.mkv", b"_MPEG4/ISO/AVC")])
def test_an_unknown_codec_is_named_as_the_reason(tmp_path, name, known):
    path = write_pictures(tmp_path / name, [CORNERS] * 4)
    path.write_bytes(path.read_bytes().replace(known, known[:1] + b"Q" + known[2:]))
    with pytest.raises(VideoError, match="no decoder") as error:
        read_video(path)
    assert error.value.reason == "unreadable"


def test_metadata_that_is_not_utf8_does_not_hide_the_film(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "caf#"
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(CORNERS, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"caf#", b"caf\xe9"))
    assert read_metadata(path)["title"] == "caf\N{REPLACEMENT CHARACTER}"
    assert len(read_video(path)[0]) == 1


def joined_sizes(tmp_path):
    """Write twelve pictures of 32 × 128 pixels, then twelve of 64 × 256, to one file."""
    sizes = [[numbered(k) for k in range(12)]]
    sizes += [[np.kron(numbered(k), np.ones((2, 2, 1), np.uint8)) for k in range(12, 24)]]
    for k, pictures in enumerate(sizes):
        options = {"preset": "ultrafast", "crf": "5"}
        write_pictures(tmp_path / f"{k}.ts", pictures, options=options)
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join((tmp_path / f"{k}.ts").read_bytes() for k in range(2)))
    return path


def test_a_picture_that_changes_its_size_is_fitted_to_the_first(tmp_path):
    path = joined_sizes(tmp_path)
    frames, _ = read_video(path)
    assert frames.shape == (24, 32, 128, 3)
    assert [read_number(frame) for frame in frames] == list(range(24))
    assert read_video(path, last=4)[0].shape == (4, 32, 128, 3)
    assert read_video(path, size=16)[0].shape == (24, 16, 16, 3)


def test_limits_hold_for_the_decoded_size_not_the_declared_one(tmp_path):
    path = joined_sizes(tmp_path)
    limits = ReadLimits(max_pixels=40 * 128)
    with open_video(path, limits) as video:
        assert (video.height, video.width) == (32, 128)
    with pytest.raises(VideoError):
        read_video(path, limits=limits)


def test_memory_is_counted_on_the_pictures_and_taken_once(tmp_path, monkeypatch):
    path = write_pictures(tmp_path / "a.mp4", [CORNERS] * 20)
    monkeypatch.setattr(reading, "MAXIMUM_BYTES", 10 * CORNERS.nbytes)
    with pytest.raises(VideoError, match="only 10 frames"):
        read_video(path)
    frames, _ = read_video(path, last=10)
    assert frames.base is None  # not a view of a larger array
    assert frames.shape == (10, 48, 64, 3)


@pytest.mark.parametrize("name", ["fps", "size", "frames", "last"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e300, 10**30])
def test_invalid_arguments_are_named(tmp_path, name, value):
    path = write_pictures(tmp_path / "a.mp4", [CORNERS])
    with pytest.raises(ValueError, match=f"^{name}="):
        read_video(path, **{name: value})
