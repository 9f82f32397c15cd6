"""Writing: tags, loops, and no file is overwritten or half written."""

import numpy as np
import pytest
from PIL import Image

from lumiere_jax.video import (
    contact_sheet,
    generated_by,
    new_file,
    read_image,
    read_metadata,
    write_contact_sheet,
    write_gif,
    write_mp4,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 16, 24, 3), np.uint8)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_mp4(path, FRAMES, 16),
        lambda path: write_gif(path, FRAMES, 16),
        lambda path: write_contact_sheet(path, [FRAMES]),
    ],
)
def test_an_existing_file_is_never_overwritten(tmp_path, write):
    path = tmp_path / "deep" / "a.bin"
    write(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="delete it or write to another name"):
        write(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]


def fail_halfway(path):
    with new_file(path) as target:
        target.write_text("half")
        raise RuntimeError


def write_while_another_does(path):
    with new_file(path) as target:
        target.write_text("mine")
        path.write_text("theirs")


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        fail_halfway(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(FileExistsError):
        write_while_another_does(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_mp4_says_that_it_is_generated_and_by_which_model(tmp_path):
    prompt = 'a "red" circle; größer\n= 1'
    write_mp4(tmp_path / "a.mp4", FRAMES, 16, generated_by("lumiere-128", prompt, "seed 7"))
    tags = read_metadata(tmp_path / "a.mp4")
    assert "machine-learning" in tags["comment"]
    assert "trainedAlgorithmicMedia" in tags["comment"]
    assert "lumiere-128" in tags["comment"]
    assert "seed 7" in tags["comment"]
    assert tags["description"] == prompt


def test_the_index_of_an_mp4_comes_first(tmp_path):
    write_mp4(tmp_path / "a.mp4", FRAMES, 16)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_tag_that_an_mp4_would_drop_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'seed'"):
        write_mp4(tmp_path / "a.mp4", FRAMES, 16, {"seed": "7"})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("frames", [FRAMES[:0], FRAMES[0], FRAMES / 255, FRAMES[..., :1]])
def test_frames_of_another_kind_are_refused(tmp_path, frames):
    for write in (write_mp4, write_gif):
        with pytest.raises(ValueError, match=r"uint8 \[t, h, w, 3\]"):
            write(tmp_path / "a", frames, 16)
    assert list(tmp_path.iterdir()) == []


def test_odd_sides_are_refused_with_a_size_that_works(tmp_path):
    with pytest.raises(ValueError, match="14×24"):
        write_mp4(tmp_path / "a.mp4", FRAMES[:, :15], 16)


def test_a_gif_keeps_its_length_although_it_counts_in_hundredths(tmp_path):
    write_gif(tmp_path / "a.gif", np.concatenate([FRAMES] * 4)[:16], 16)
    with Image.open(tmp_path / "a.gif") as gif:
        durations = []
        for index in range(gif.n_frames):
            gif.seek(index)
            durations.append(gif.info["duration"])
        assert gif.info["loop"] == 0
    assert len(durations) == 16
    assert sum(durations) == 1000


def test_a_contact_sheet_shows_the_first_and_the_last_frame_of_each_clip():
    numbered = np.broadcast_to(
        np.arange(10, 250, 10, dtype=np.uint8)[:, None, None, None], (24, 8, 8, 3)
    )
    sheet = contact_sheet([numbered, numbered[:5]], columns=4)
    rows = [sheet[6], sheet[18]]
    shown = [[int(row[2 + 10 * column + 4, 0]) for column in range(4)] for row in rows]
    assert shown[0] == [10, 90, 160, 240]
    assert shown[1][0] == 10
    assert shown[1][3] == 50


def test_captions_are_drawn_under_their_row():
    bare = contact_sheet([FRAMES, FRAMES], columns=4)
    captioned = contact_sheet([FRAMES, FRAMES], ["a red circle bounces", "b " * 40], columns=4)
    assert captioned.shape[0] > bare.shape[0]
    assert captioned.shape[1] == bare.shape[1]
    under_first = captioned[20:32]
    assert (under_first < 100).any()


def test_clips_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        contact_sheet([FRAMES, FRAMES[:, :8]])
    with pytest.raises(ValueError, match="1 captions for 2 clips"):
        contact_sheet([FRAMES, FRAMES], ["one"])


def test_an_image_reads_upright_on_white(tmp_path):
    image = Image.new("RGBA", (24, 16), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (12, 0, 24, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_image(tmp_path / "a.png")
    assert pixels.shape == (24, 16, 3)
    assert pixels[2, 8].tolist() == [255, 0, 0]
    assert pixels[20, 8].tolist() == [255, 255, 255]
    assert read_image(tmp_path / "a.png", size=8).shape == (8, 8, 3)


def test_images_too_large_or_damaged_are_refused(tmp_path):
    Image.fromarray(FRAMES[0]).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="max_pixels=100"):
        read_image(tmp_path / "a.png", max_pixels=100)
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"b\.png is not an image"):
        read_image(tmp_path / "b.png")
    with pytest.raises(FileNotFoundError, match=r"c\.png"):
        read_image(tmp_path / "c.png")
