"""T5 encoders are read from Hugging Face and t5x, written to t5x, and others are refused."""

import json
import shutil
import zipfile

import chex
import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lumiere_jax.checkpoints import read_t5, write_t5x
from lumiere_jax.checkpoints.t5x import T5xCheckpoint
from lumiere_jax.checkpoints.tree import flatten
from lumiere_jax.models import T5Config, network

TINY = T5Config(vocabulary_size=20, width=8, feed_forward=16, heads=2, layers=2, head_dim=4)


@pytest.fixture
def folder(golden, tmp_path):
    """Return a copy of the Hugging Face folder that a test may damage."""
    return shutil.copytree(golden / "t5_hf", tmp_path / "t5")


def _same(first, second):
    chex.assert_trees_all_equal(first, second)


def test_t5x_names_and_layouts_are_those_of_the_verified_table(golden, tmp_path):
    with zipfile.ZipFile(golden / "t5x" / "checkpoint_1000.zip") as archive:
        archive.extractall(tmp_path)
    source = T5xCheckpoint(tmp_path / "checkpoint_1000")
    table = json.loads((golden / "t5x" / "name_map.json").read_text())["map"]
    tensors = {}
    for row in table:
        array = source.read(row["t5x"])
        tensors[row["hf"]] = np.ascontiguousarray(array.T if row["transpose"] else array)
    folder = tmp_path / "hf"
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    values = json.loads((golden / "t5_hf" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"vocab_size": 160}))
    config, params = read_t5(folder)
    other_config, other = read_t5(tmp_path / "checkpoint_1000")
    assert config == other_config
    _same(params, other)


def test_a_written_t5x_checkpoint_is_read_back_with_relative_paths_in_its_index(tmp_path):
    params = network(TINY).init(jax.random.key(0))
    write_t5x(tmp_path / "checkpoint_7", TINY, params, step=7)
    moved = (tmp_path / "checkpoint_7").rename(tmp_path / "elsewhere")
    config, found = read_t5(moved)
    assert config == TINY
    _same(found, params)
    index = msgpack.unpackb((moved / "checkpoint").read_bytes(), raw=False)
    assert index["version"] == 3
    norm = index["optimizer"]["target"]["encoder"]["encoder_norm"]["scale"]
    assert norm["kvstore"] == {"driver": "file", "path": "target.encoder.encoder_norm.scale/"}
    with pytest.raises(FileExistsError, match="not empty"):
        write_t5x(moved, TINY, params)


def test_bfloat16_survives_t5x(tmp_path):
    params = jax.tree.map(
        lambda leaf: leaf.astype(jnp.bfloat16), network(TINY).init(jax.random.key(0))
    )
    write_t5x(tmp_path / "c", TINY, params)
    _same(read_t5(tmp_path / "c")[1], params)


def test_arrays_inside_the_index_are_read(tmp_path):
    from flax.serialization import msgpack_restore, msgpack_serialize

    params = network(TINY).init(jax.random.key(0))
    write_t5x(tmp_path / "c", TINY, params)
    index = msgpack_restore((tmp_path / "c" / "checkpoint").read_bytes())
    scale = np.arange(8, dtype=np.float32)
    index["optimizer"]["target"]["encoder"]["encoder_norm"]["scale"] = scale
    (tmp_path / "c" / "checkpoint").write_bytes(msgpack_serialize(index))
    shutil.rmtree(tmp_path / "c" / "target.encoder.encoder_norm.scale")
    np.testing.assert_array_equal(read_t5(tmp_path / "c")[1]["final_norm"]["scale"], scale)


def test_a_missing_zarr_array_is_named(tmp_path):
    write_t5x(tmp_path / "c", TINY, network(TINY).init(jax.random.key(0)))
    shutil.rmtree(tmp_path / "c" / "target.encoder.layers_1.mlp.wo.kernel")
    with pytest.raises(FileNotFoundError, match=r"target\.encoder\.layers_1\.mlp\.wo\.kernel"):
        read_t5(tmp_path / "c")


def test_the_decoder_and_the_second_copy_of_the_table_are_left_out(folder):
    tensors = load_file(folder / "model.safetensors")
    extra = {
        "encoder.embed_tokens.weight": tensors["shared.weight"],
        "decoder.final_layer_norm.weight": np.zeros(64, np.float32),
        "lm_head.weight": np.zeros((200, 64), np.float32),
    }
    save_file(tensors | extra, folder / "model.safetensors")
    assert "decoder" not in read_t5(folder)[1]


def test_a_pipeline_folder_has_its_encoder_in_text_encoder(folder, tmp_path):
    folder.rename(tmp_path / "moved")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "moved").rename(tmp_path / "pipeline" / "text_encoder")
    assert read_t5(tmp_path / "pipeline")[0].width == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feed_forward_proj": "relu"}, "another family of T5"),
        ({"model_type": "umt5"}, "model_type 'umt5' is not 't5'"),
        ({"d_model": 65}, r"shared\.weight is \(200, 64\), which does not fit"),
        ({"num_layers": 3}, r"missing \(9\): encoder\.block\.2\.layer\.0"),
        ({"num_layers": 1}, r"not understood \(9\): encoder\.block\.1\.layer\.0"),
    ],
)
def test_another_model_is_refused_by_field_or_tensor(folder, change, message):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_t5(folder)


def test_every_parameter_has_one_name_in_each_format():
    from lumiere_jax.checkpoints.t5 import hugging_face_entries, t5x_entries

    paths = set(flatten(network(TINY).shapes()))
    for entries in (hugging_face_entries(TINY), t5x_entries(TINY)):
        assert {entry.path for entry in entries} == paths
        assert len({entry.name for entry in entries}) == len(entries)


def test_the_table_may_have_the_encoder_s_name_alone(folder):
    tensors = load_file(folder / "model.safetensors")
    expected = read_t5(folder)[1]
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    save_file(tensors, folder / "model.safetensors")
    _same(read_t5(folder)[1], expected)


def test_two_tables_that_differ_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    other = tensors["shared.weight"] + 1
    save_file(tensors | {"encoder.embed_tokens.weight": other}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"embed_tokens\.weight differs from shared\.weight"):
        read_t5(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_norm_epsilon": None}, "layer_norm_epsilon=None is not a number"),
        ({"num_layers": 2 * 10**9}, "num_layers=2000000000 lies outside"),
        ({"num_heads": "6"}, "num_heads='6' is not a whole number"),
        ({"vocab_size": 0}, "vocab_size=0 lies outside"),
        ({"model_type": ["t5"]}, "model_type"),
    ],
)
def test_a_field_of_another_kind_is_named_as_in_the_file(folder, change, message):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"config\.json: .*{message}"):
        read_t5(folder)


@pytest.mark.parametrize("text", ["", "[]", "<html>", "Invalid username", "null", "[" * 9999])
def test_a_file_that_is_not_a_configuration_is_named_in_one_line(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json .*download it again") as caught:
        read_t5(folder)
    assert "\n" not in str(caught.value)


NORM = "target.encoder.encoder_norm.scale"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunks": [2**40]}, "chunks"),
        ({"shape": [2**40]}, "shape"),
        ({"shape": [-1]}, "shape"),
        ({"chunks": [0]}, "chunks"),
        ({"shape": [8, 8]}, "number of axes"),
        ({"dtype": "|O"}, "dtype"),
        ({"dtype": "<f8"}, "Not enough data"),
        ({"compressor": {"id": "lzma"}}, "compressor"),
        ({"compressor": {"id": "gzip", "level": {"a": 1}}}, "compressor"),
        ({"filters": [{"id": "delta"}]}, "filters"),
        ({"order": "F"}, "order"),
        ({"attributes": {}}, "attributes"),
    ],
    ids=str,
)
def test_an_array_s_description_is_checked_before_it_is_read(tmp_path, change, message):
    write_t5x(tmp_path / "c", TINY, network(TINY).init(jax.random.key(0)))
    path = tmp_path / "c" / NORM / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message) as caught:
        read_t5(tmp_path / "c")
    assert NORM in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nesting_that_would_end_the_process_is_refused(tmp_path):
    write_t5x(tmp_path / "c", TINY, network(TINY).init(jax.random.key(0)))
    (tmp_path / "c" / NORM / ".zarray").write_text('{"chunks":' + "[" * 30_000)
    with pytest.raises(ValueError, match=r"\.zarray"):
        read_t5(tmp_path / "c")


def test_a_lost_chunk_is_not_read_as_zeros(tmp_path):
    write_t5x(tmp_path / "c", TINY, network(TINY).init(jax.random.key(0)))
    (tmp_path / "c" / NORM / "0").unlink()
    with pytest.raises(ValueError, match="has 0 of 1 chunks"):
        read_t5(tmp_path / "c")


def test_an_array_of_zeros_is_written_and_read(tmp_path):
    params = jax.tree.map(jnp.zeros_like, network(TINY).init(jax.random.key(0)))
    write_t5x(tmp_path / "c", TINY, params)
    _same(read_t5(tmp_path / "c")[1], params)


@pytest.mark.parametrize("place", ["..", "a/..", "", "x\0y"])
def test_an_array_outside_of_the_folder_is_refused(tmp_path, place):
    write_t5x(tmp_path / "c", TINY, network(TINY).init(jax.random.key(0)))
    index = msgpack.unpackb((tmp_path / "c" / "checkpoint").read_bytes(), raw=False)
    index["optimizer"]["target"]["encoder"]["encoder_norm"]["scale"]["kvstore"]["path"] = place
    index["optimizer"]["state"] = {}
    (tmp_path / "c" / "checkpoint").write_bytes(msgpack.packb(index))
    with pytest.raises(ValueError, match="plain name"):
        read_t5(tmp_path / "c")


@pytest.mark.parametrize("data", [b"", b"\x91" * 900, b"\xc1", b"<html>", b"\x81\x01\x02"])
def test_a_file_that_is_not_an_index_is_named(tmp_path, data):
    (tmp_path / "checkpoint").write_bytes(data)
    with pytest.raises(ValueError, match="is not the index of a t5x checkpoint"):
        read_t5(tmp_path)
