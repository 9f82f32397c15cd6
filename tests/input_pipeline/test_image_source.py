"""Style folders are read with the same readers as all other text and pictures."""

import codecs

import numpy as np
import pytest
from PIL import Image

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.image_source import ImageSource

CONFIG = DataConfig(image_frames=True, size=16)


def style(folder, caption, image=None):
    image = image or Image.new("RGB", (20, 20), (9, 9, 9))
    image.save(folder / "a.png")
    (folder / "a.txt").write_bytes(caption)
    return ImageSource(folder, CONFIG)


@pytest.mark.parametrize(
    "caption",
    [b"a house\n", codecs.BOM_UTF8 + b"a house\r\n", b"a\r\nhouse", "a\u00a0\u200bhouse".encode()],
)
def test_the_same_words_are_the_same_caption(caption, tmp_path):
    assert style(tmp_path, caption).read(0).caption == "a house"


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("a house".encode("utf-16"), r"a\.txt is UTF-16"),
        ("a\ncafé".encode("latin1"), r"a\.txt: line 2 is not UTF-8"),
        (b"", r"a\.txt is empty: write what a\.png shows"),
        (b" \r\n", r"a\.txt is empty"),
    ],
)
def test_a_missing_caption_names_its_file(caption, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        style(tmp_path, caption)


def test_pictures_become_8_bit_rgb(tmp_path):
    deep = Image.fromarray(np.full((20, 20), 128 * 257, np.uint16))
    assert (style(tmp_path, b"grey", deep).read(0).frames == 128).all()
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (style(tmp_path, b"white", clear).read(0).frames == 255).all()
