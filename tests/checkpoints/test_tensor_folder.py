"""The right one of several checkpoints in a folder is read, and none outside of it."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from lumiere_jax.checkpoints.tensor_folder import open_tensors


def put(folder, name, value):
    """Write a checkpoint of one number, by which tests recognize it."""
    folder.mkdir(exist_ok=True)
    save_file({"x": np.full(1, value, np.float32)}, folder / name)


def value(path, variant=None):
    return float(open_tensors(path, variant).read("x")[0])


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a plain checkpoint and three variants of it."""
    for number, variant in enumerate(("", ".fp16", ".bf16", ".non_ema")):
        put(tmp_path / "m", f"model{variant}.safetensors", number)
    return tmp_path / "m"


@pytest.mark.parametrize(("variant", "expected"), [(None, 0), ("fp16", 1), ("non_ema", 3)])
def test_the_plain_checkpoint_is_read_unless_a_variant_is_requested(folder, variant, expected):
    assert value(folder, variant) == expected


def test_the_error_for_a_missing_variant_lists_the_existing_ones(folder):
    with pytest.raises(ValueError, match=r"no --variant=int8; there are --variant=bf16, --variant"):
        open_tensors(folder, "int8")


def test_among_variants_alone_one_must_be_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no plain one; there are --variant=bf16"):
        open_tensors(folder)
    (folder / "model.bf16.safetensors").unlink()
    (folder / "model.non_ema.safetensors").unlink()
    assert value(folder) == 1


def test_a_file_can_be_named_itself(folder):
    put(folder, "other.safetensors", 9)
    with pytest.raises(ValueError, match=r"name one: --path=.*/model\.safetensors"):
        open_tensors(folder)
    assert value(folder / "other.safetensors") == 9


def index(folder, name, files):
    (folder / name).write_text(json.dumps({"weight_map": files}))


@pytest.mark.parametrize("name", ["m.safetensors.index.fp16.json", "m.fp16.safetensors.index.json"])
def test_both_names_of_a_variant_s_index_are_read(tmp_path, name):
    put(tmp_path / "m", "m.fp16-00001-of-00001.safetensors", 5)
    index(tmp_path / "m", name, {"x": "m.fp16-00001-of-00001.safetensors"})
    put(tmp_path / "m", "m.safetensors", 6)
    assert (value(tmp_path / "m"), value(tmp_path / "m", "fp16")) == (6, 5)
    assert value(tmp_path / "m" / name) == 5


@pytest.mark.parametrize("lead", ["../", "sub/", "/tmp/", "gs://bucket/"])
def test_an_index_that_points_outside_its_folder_is_refused(tmp_path, lead):
    put(tmp_path, "a.safetensors", 1)
    (tmp_path / "m").mkdir()
    index(tmp_path / "m", "m.safetensors.index.json", {"x": f"{lead}a.safetensors"})
    with pytest.raises(ValueError, match="must be the plain name of a file in that folder"):
        open_tensors(tmp_path / "m")


def test_a_link_into_hugging_face_s_cache_is_read(tmp_path):
    put(tmp_path, "blob", 4)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").symlink_to("../blob")
    assert value(tmp_path / "m") == 4


@pytest.mark.parametrize("found", ["[]", "{}", "", "<p>", '{"weight_map": {"x": 3}}', "[" * 9999])
def test_a_file_that_is_not_an_index_is_named(tmp_path, found):
    put(tmp_path / "m", "a.safetensors", 1)
    (tmp_path / "m" / "m.safetensors.index.json").write_text(found)
    with pytest.raises(ValueError, match=r"m\.safetensors\.index\.json") as caught:
        open_tensors(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_an_index_and_its_shards_name_the_same_tensors(tmp_path):
    put(tmp_path / "m", "a.safetensors", 1)
    save_file({"y": np.zeros(1, np.float32)}, tmp_path / "m" / "b.safetensors")
    name = "m.safetensors.index.json"
    index(tmp_path / "m", name, {"x": "a.safetensors", "z": "b.safetensors"})
    with pytest.raises(ValueError, match="lacks 'z', which"):
        open_tensors(tmp_path / "m")
    shutil.copy(tmp_path / "m" / "a.safetensors", tmp_path / "m" / "b.safetensors")
    save_file({"x": np.zeros(1), "z": np.zeros(1)}, tmp_path / "m" / "b.safetensors")
    with pytest.raises(ValueError, match="does not assign 'x' to it"):
        open_tensors(tmp_path / "m")


def test_shards_without_their_index_say_what_is_missing(tmp_path):
    put(tmp_path / "m", "model-00001-of-00002.safetensors", 1)
    with pytest.raises(ValueError, match=r"whose index .* is missing"):
        open_tensors(tmp_path / "m")
