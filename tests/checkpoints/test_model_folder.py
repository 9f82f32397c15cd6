"""Model folders are read as they were written, and errors name the fault."""

import dataclasses
import json
import pathlib
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lumiere_jax.checkpoints import Model, Part, describe_model, read_model, write_model
from lumiere_jax.checkpoints.style import Style
from lumiere_jax.checkpoints.tree import flatten
from lumiere_jax.models import T5Config, network
from lumiere_jax.text import open_tokenizer

TINY = T5Config(vocabulary_size=20, width=8, feed_forward=16, heads=2, layers=2, head_dim=4)


@pytest.fixture(scope="module")
def params():
    return network(TINY).init(jax.random.key(0))


def _model(params):
    text = Part(config=TINY, params=params, settings={"tokenizer": "bytes", "length": 77})
    return Model(parts={"text": text}, settings={"name": "tiny"})


def test_what_is_written_is_read_back(tmp_path, params):
    write_model(tmp_path / "m", _model(params))
    model = read_model(tmp_path / "m")
    assert model.parts["text"].config == TINY
    assert model.parts["text"].settings == {"tokenizer": "bytes", "length": 77}
    assert model.settings == {"name": "tiny"}
    chex.assert_trees_all_equal(model.parts["text"].params, params)


def test_a_folder_without_its_style_is_not_a_model(tmp_path, params, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("lumiere_jax.checkpoints.model_folder.write_style", full)
    style = Style(factors={"layer": {"down": np.ones((8, 1)), "up": np.ones((1, 8))}})
    with pytest.raises(OSError, match="no space"):
        write_model(tmp_path / "m", _model(params), style=style)
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "m")


def test_bfloat16_is_stored_as_bfloat16(tmp_path, params):
    write_model(tmp_path / "m", _model(params), dtype=jnp.bfloat16)
    found = read_model(tmp_path / "m").parts["text"].params
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(a.dtype)), found, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}


def test_a_model_is_read_into_its_shardings(tmp_path, params):
    write_model(tmp_path / "m", _model(params))
    mesh = Mesh(np.array(jax.devices()[:4]), ("fsdp",))
    last = NamedSharding(mesh, PartitionSpec("fsdp"))
    whole = NamedSharding(mesh, PartitionSpec())

    def shardings(shapes):
        return jax.tree.map(lambda leaf: last if leaf.shape[0] % 4 == 0 else whole, shapes)

    found = read_model(tmp_path / "m", shardings={"text": shardings}).parts["text"].params
    assert found["token_embedding"]["embedding"].sharding == last
    assert found["token_embedding"]["embedding"].addressable_shards[1].data.shape == (5, 8)
    chex.assert_trees_all_equal(found, params)


def test_the_description_needs_no_parameters(tmp_path, params):
    write_model(tmp_path / "m", _model(params))
    (tmp_path / "m" / "text.safetensors").unlink()
    assert describe_model(tmp_path / "m").parts["text"].config == TINY
    with pytest.raises(FileNotFoundError, match=r"text\.safetensors"):
        read_model(tmp_path / "m")


def test_nothing_is_overwritten(tmp_path, params):
    write_model(tmp_path / "m", _model(params))
    with pytest.raises(FileExistsError, match="not empty"):
        write_model(tmp_path / "m", _model(params))


def test_parameters_of_another_configuration_are_refused(tmp_path, params):
    other = T5Config(vocabulary_size=21, width=8, feed_forward=16, heads=2, layers=3, head_dim=4)
    with pytest.raises(ValueError, match=r"missing \(9\): block_2/attention/key/kernel"):
        write_model(tmp_path / "m", Model(parts={"text": Part(config=other, params=params)}))
    write_model(tmp_path / "n", _model(params))
    path = tmp_path / "n" / "model.json"
    path.write_text(path.read_text().replace('"vocabulary_size": 20', '"vocabulary_size": 21'))
    with pytest.raises(ValueError, match=r"token_embedding/embedding is \(20, 8\), expected \(21"):
        read_model(tmp_path / "n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "else"}, "format is 'else', expected 'lumiere_jax'"),
        (
            {"networks": {"text": {"type": "Nope", "config": {}, "settings": {}}}},
            "text: type='Nope' is none of UNetConfig, T5Config",
        ),
        (
            {"networks": {"text": {"type": "T5Config", "config": {"wide": 1}, "settings": {}}}},
            "text.wide is not a setting; did you mean width",
        ),
    ],
)
def test_an_unknown_description_is_refused_by_name(tmp_path, params, change, message):
    write_model(tmp_path / "m", _model(params))
    path = tmp_path / "m" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        describe_model(tmp_path / "m")


def test_the_file_can_be_read_by_the_format_s_own_package(tmp_path, params):
    from safetensors.numpy import load_file

    write_model(tmp_path / "m", _model(params))
    found = load_file(tmp_path / "m" / "text.safetensors")
    for name, leaf in flatten(params).items():
        np.testing.assert_array_equal(found[name], leaf)


def test_a_tokenizer_file_is_copied_with_the_model(tmp_path, words):
    part = _words_part(words)
    write_model(tmp_path / "m", Model(parts={"text": part}))
    moved = (tmp_path / "m").rename(tmp_path / "moved")
    found = describe_model(moved).parts["text"].settings["tokenizer"]
    assert found == str(moved / "spiece.model")
    assert (moved / "spiece.model").read_bytes() == words.read_bytes()
    assert str(tmp_path) not in (moved / "model.json").read_text()


@pytest.fixture
def words(tmp_path):
    """Return the path of a SentencePiece model of 384 pieces."""
    return pathlib.Path(shutil.copy("data/words/spiece.model", tmp_path / "spiece.model"))


def _words_part(tokenizer, rows=384):
    config = dataclasses.replace(TINY, vocabulary_size=rows)
    settings = {"tokenizer": str(tokenizer), "length": 77}
    return Part(config=config, params=network(config).init(jax.random.key(0)), settings=settings)


def test_a_link_to_a_tokenizer_is_read_as_in_hugging_face_s_cache(tmp_path, words):
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "spiece.model").symlink_to("../spiece.model")
    part = _words_part(tmp_path / "snapshot" / "spiece.model")
    write_model(tmp_path / "m", Model(parts={"text": part}))
    assert (tmp_path / "m" / "spiece.model").read_bytes() == words.read_bytes()
    assert not (tmp_path / "m" / "spiece.model").is_symlink()


def test_a_file_that_is_not_a_tokenizer_is_not_copied(tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(ValueError, match="id_rsa"):
        write_model(tmp_path / "m", Model(parts={"text": _words_part(secret)}))
    assert not list((tmp_path / "m").iterdir())


def test_a_tokenizer_with_more_pieces_than_rows_is_not_copied(tmp_path, words):
    with pytest.raises(ValueError, match=r"384 tokens.*200"):
        write_model(tmp_path / "m", Model(parts={"text": _words_part(words, rows=200)}))


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../spiece.model", "gs://bucket/spiece.model", "", ".", 3, "a\nb", "a\\b"],
)
def test_a_tokenizer_outside_of_the_folder_is_refused(tmp_path, params, name):
    write_model(tmp_path / "m", _model(params))
    path = tmp_path / "m" / "model.json"
    path.write_text(path.read_text().replace('"bytes"', json.dumps(name)))
    with pytest.raises(
        ValueError, match=r"settings\.tokenizer: .* must be the plain name"
    ) as caught:
        describe_model(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_a_missing_tokenizer_is_looked_for_in_the_folder_alone(tmp_path, words, monkeypatch):
    write_model(tmp_path / "m", Model(parts={"text": _words_part(words)}))
    (tmp_path / "m" / "spiece.model").unlink()
    monkeypatch.chdir(words.parent)  # which has a spiece.model
    tokenizer = read_model(tmp_path / "m").parts["text"].settings["tokenizer"]
    assert tokenizer == str(tmp_path / "m" / "spiece.model")
    with pytest.raises(FileNotFoundError, match=r"m/spiece\.model"):
        open_tokenizer(tokenizer)


BROKEN = [
    {"networks": []},
    {"networks": {}},
    {"networks": None},
    {"networks": {"text": []}},
    {"networks": {"text": {"config": {}, "settings": {}}}},
    {"networks": {"text": {"type": ["T5Config"], "config": {}, "settings": {}}}},
    {"networks": {"text": {"type": "T5Config", "config": [], "settings": {}}}},
    {"networks": {"text": {"type": "T5Config", "config": {}, "settings": 3}}},
    {"networks": {"../text": {"type": "T5Config", "config": {}, "settings": {}}}},
    {"settings": []},
    {"settings": {"stages": ["base"]}},
    {"settings": {"stages": ["text"]}},
    {"settings": {"stages": []}},
    {"settings": {"stages": "text"}},
    {"settings": {"frame_rate": "16"}},
    {"settings": {"frame_rate": 0}},
    {"settings": {"name": ["tiny"]}},
    {"version": "1"},
    {"format": None},
]


@pytest.mark.parametrize("change", BROKEN, ids=str)
def test_a_field_of_another_kind_is_one_line_that_names_the_file(tmp_path, params, change):
    write_model(tmp_path / "m", _model(params))
    path = tmp_path / "m" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"model\.json") as caught:
        describe_model(tmp_path / "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocabulary_size", 10**12),
        ("vocabulary_size", "20"),
        ("width", 0),
        ("layers", 2 * 10**9),
        ("heads", -1),
        ("buckets", 1),
        ("max_distance", 3),
        ("norm_epsilon", None),
        ("norm_epsilon", 10**400),
        ("head_dim", True),
    ],
)
def test_a_number_out_of_bounds_is_named(tmp_path, params, field, value):
    write_model(tmp_path / "m", _model(params))
    path = tmp_path / "m" / "model.json"
    found = json.loads(path.read_text())
    found["networks"]["text"]["config"][field] = value
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=rf"model\.json: text\.{field}=") as caught:
        describe_model(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_name_is_refused(tmp_path, params):
    write_model(tmp_path / "m", _model(params))
    path = tmp_path / "m" / "model.json"
    for name in ("../m/text.safetensors", "other.safetensors"):
        path.write_text(path.read_text().replace("text.safetensors", name))
        with pytest.raises(ValueError, match=r"model\.json: text: file"):
            describe_model(tmp_path / "m")
        path.write_text(path.read_text().replace(name, "text.safetensors"))


def test_parameters_of_whole_numbers_are_refused(tmp_path, params):
    whole = jax.tree.map(lambda leaf: leaf.astype(jnp.int8), params)
    write_model(tmp_path / "m", _model(whole))
    with pytest.raises(ValueError, match="has the dtype int8, expected float32"):
        read_model(tmp_path / "m")
