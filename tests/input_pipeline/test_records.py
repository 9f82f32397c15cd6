"""Records keep clips, give single frames, and notice damage."""

import subprocess
import sys
import tracemalloc
import zlib

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumiere_jax.input_pipeline.encodings import ENCODINGS
from lumiere_jax.input_pipeline.records import Clip, decode_clip, encode_clip

LOSSLESS = ("h264_lossless", "png", "raw")


def smooth_clip(frames=20):
    t, y, x = np.mgrid[:frames, :32, :48].astype(float)
    planes = [np.sin(x / 9 + t / 5), np.cos(y / 7 - t / 4), np.sin((x + y) / 11 + t / 6)]
    pixels = np.stack([127 + 100 * plane for plane in planes], -1).astype(np.uint8)
    return Clip(frames=pixels, fps=16.0, caption="größer", source="a/b.mp4", start=2.5)


RECORDS = {encoding: encode_clip(smooth_clip(4), encoding) for encoding in ENCODINGS}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_clip_comes_back(encoding):
    clip = smooth_clip()
    back = decode_clip(encode_clip(clip, encoding))
    fields = (back.fps, back.caption, back.source, back.start)
    assert fields == (16.0, "größer", "a/b.mp4", 2.5)
    difference = np.abs(back.frames.astype(int) - clip.frames)
    assert difference.max() == 0 if encoding in LOSSLESS else difference.mean() < 4
    assert back.frames.flags.writeable


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_single_frames_are_those_of_the_whole_clip(encoding):
    data = encode_clip(smooth_clip(), encoding)
    whole = decode_clip(data).frames
    for index in (0, 7, 15, 16, 19):
        still = decode_clip(data, index, index + 1)
        np.testing.assert_array_equal(still.frames, whole[index : index + 1])
        assert still.start == 2.5 + index / 16


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_same_clip_same_bytes(encoding):
    assert encode_clip(smooth_clip(), encoding) == encode_clip(smooth_clip(), encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_single_flipped_bit_is_noticed(encoding):
    record = msgpack.unpackb(encode_clip(smooth_clip(), encoding))
    video = bytearray(record["video"])
    video[len(video) // 2] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        decode_clip(msgpack.packb({**record, "video": bytes(video)}))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_record_cut_short_is_an_error_and_not_a_black_clip(encoding):
    record = msgpack.unpackb(encode_clip(smooth_clip(), encoding))
    record["video"] = record["video"][: len(record["video"]) // 2]
    record["crc32"] = zlib.crc32(record["video"])  # only the decoder can notice
    with pytest.raises(ValueError, match=r"damaged|cut short|cannot be frames"):
        decode_clip(msgpack.packb(record))


def test_the_default_takes_less_than_a_tenth_of_the_raw_bytes():
    clip = smooth_clip(80)
    assert len(encode_clip(clip)) < clip.frames.nbytes / 10


def test_a_single_frame_is_a_clip():
    clip = Clip(frames=smooth_clip().frames[:1], fps=16.0, caption="")
    back = decode_clip(encode_clip(clip))
    assert back.frames.shape == (1, 32, 48, 3)
    assert back.start is None


def test_a_text_embedding_is_kept_at_its_true_length():
    embedding = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
    clip = Clip(frames=smooth_clip().frames[:1], fps=1.0, caption="x", text_embedding=embedding)
    np.testing.assert_array_equal(decode_clip(encode_clip(clip)).text_embedding, embedding)


@pytest.mark.usefixtures("unchecked")
def test_an_embedding_of_another_type_is_refused():
    clip = Clip(
        frames=smooth_clip().frames[:1], fps=1.0, caption="x", text_embedding=np.zeros((1, 5, 8))
    )
    with pytest.raises(ValueError, match="float16"):
        encode_clip(clip)


@pytest.mark.parametrize("data", [b"", b"abc", msgpack.packb({"video": b""}), msgpack.packb(7)])
def test_other_bytes_are_not_a_record(data):
    with pytest.raises(ValueError, match="not a clip record"):
        decode_clip(data)


def test_a_shape_that_would_fill_the_memory_is_refused():
    record = msgpack.unpackb(encode_clip(smooth_clip()))
    for shape in ([1 << 20, 4096, 4096, 3], [20, -32, 48, 3], [20, 32, 48, 4]):
        with pytest.raises(ValueError, match="no clip has"):
            decode_clip(msgpack.packb({**record, "shape": shape}))


@pytest.mark.parametrize(
    "change",
    [
        {"fps": float("nan")},
        {"fps": True},
        {"shape": [2, 32, 48]},
        {"encoding": ["h264"]},
        {"encoding": "vp9"},
        {"source": 7},
        {"start": "soon"},
        {"shape": [True, 32, 48, 3]},
        {"text_embedding": [1]},
        {"text_embedding": {"dtype": "float16", "shape": [-1, 8], "data": b"\0" * 32}},
        {"text_embedding": {"dtype": "float16", "shape": [1 << 40, 0], "data": b""}},
        {"text_embedding": {"dtype": "object", "shape": [1, 1], "data": b"\0" * 8}},
        {"text_embedding": {"dtype": "float16", "shape": [2, 2], "data": b"\0"}},
    ],
)
def test_an_impossible_field_is_an_error(change):
    record = msgpack.unpackb(encode_clip(smooth_clip(2), "raw"))
    with pytest.raises(ValueError, match=r"no clip has|text_embedding|unknown encoding"):
        decode_clip(msgpack.packb(record | change))


def test_arrays_that_claim_to_be_huge_are_refused_before_allocation():
    claim = b"\xdd\x00\xff\xff\xff" * 500  # nested arrays of sixteen million entries
    tracemalloc.start()
    with pytest.raises(ValueError, match="not a clip record"):
        decode_clip(claim + bytes(1 << 20))
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


@settings(max_examples=100, deadline=None)
@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    place=st.floats(0, 1, exclude_max=True),
    bytes_=st.binary(min_size=1, max_size=8),
    inside=st.booleans(),
    checksum=st.booleans(),
)
def test_damaged_bytes_are_a_clip_of_the_right_shape_or_an_error(
    encoding, place, bytes_, inside, checksum
):
    data = RECORDS[encoding]
    if inside:  # the payload, whose checksum may still fit
        record = msgpack.unpackb(data)
        record["video"] = damage(record["video"], place, bytes_)
        if checksum:
            record["crc32"] = zlib.crc32(record["video"])
        data = msgpack.packb(record)
    else:
        data = damage(data, place, bytes_)
    try:
        clip = decode_clip(data, shape=(4, 32, 48, 3))
    except ValueError:
        return
    assert clip.frames.shape == (4, 32, 48, 3)


def damage(data, place, bytes_):
    at = int(place * len(data))
    return data[:at] + bytes_ + data[at + len(bytes_) :]


def test_missing_frames_are_named():
    with pytest.raises(IndexError, match="20 frames"):
        decode_clip(encode_clip(smooth_clip(), "raw"), 20, 21)


def test_an_unknown_encoding_lists_the_known_ones():
    with pytest.raises(ValueError, match="h264, h264_small"):
        encode_clip(smooth_clip(), "vp9")


def test_reading_and_preparing_import_no_jax():
    modules = "video", "input_pipeline.records", "preparation.clips", "prepare"
    code = f"{'; '.join(f'import lumiere_jax.{name}' for name in modules)}; "
    code += "import sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
