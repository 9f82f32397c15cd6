"""The T5 encoder has the outputs of Hugging Face's, padded positions included."""

import dataclasses
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.checkpoints import read_t5
from lumiere_jax.models import T5Config, network
from lumiere_jax.models.t5 import relative_position_bucket

TOLERANCE = 3e-5


@pytest.fixture(scope="module")
def hugging_face(golden):
    config, params = read_t5(golden / "t5_hf")
    return network(config, dtype=jnp.float32), params


@pytest.fixture(scope="module")
def t5x(golden, tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5x")
    with zipfile.ZipFile(golden / "t5x" / "checkpoint_1000.zip") as archive:
        archive.extractall(folder)
    config, params = read_t5(folder / "checkpoint_1000")
    return network(config, dtype=jnp.float32), params


@pytest.mark.parametrize("case", ["A", "B", "C", "D"])
def test_every_position_agrees_with_hugging_face(golden, hugging_face, case):
    encoder, params = hugging_face
    data = np.load(golden / "t5_hf" / f"case_{case}.npz")
    mask = data["attention_mask"].astype(bool) if "attention_mask" in data else None
    found = encoder.apply(params, data["input_ids"], mask)
    np.testing.assert_allclose(found, data["last_hidden_state"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("case", ["A", "B"])
def test_t5x_weights_agree_at_real_tokens_and_follow_hugging_face_at_padding(golden, t5x, case):
    encoder, params = t5x
    data = np.load(golden / "t5x" / "io.npz")
    tokens = data[f"{case}_tokens"]
    found = encoder.apply(params, tokens, tokens > 0)
    np.testing.assert_allclose(found, data[f"{case}_hf_last_hidden_state"], atol=TOLERANCE, rtol=0)
    real = tokens > 0
    wanted = data[f"{case}_encoded"][real]
    np.testing.assert_allclose(found[real], wanted, atol=TOLERANCE, rtol=0)


def test_the_table_of_buckets_is_hugging_face_s(golden):
    data = np.load(golden / "t5_hf" / "case_A.npz")
    found = relative_position_bucket(data["relative_position"], 32, 128)
    np.testing.assert_array_equal(found, data["relative_bucket_bidirectional"])


def test_padding_does_not_change_the_real_tokens(hugging_face):
    encoder, params = hugging_face
    short = np.array([[5, 9, 1]])
    long = np.array([[5, 9, 1, 7, 7]])
    mask = np.array([[True, True, True, False, False]])
    np.testing.assert_allclose(
        encoder.apply(params, long, mask)[:, :3], encoder.apply(params, short, None), atol=1e-5
    )


def test_rematerialization_does_not_change_gradients():
    config = dataclasses.replace(T5Config.preset("demo"), layers=1)
    tokens = np.arange(12).reshape(2, 6)
    params = network(config, dtype=jnp.float32).init(jax.random.key(0))

    def gradient(remat):
        encoder = network(config, dtype=jnp.float32, remat=remat)
        return jax.jit(jax.grad(lambda p: (encoder.apply(p, tokens, tokens > 0) ** 2).sum()))(
            params
        )

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3, rtol=1e-4),
        gradient(False),
        gradient(True),
    )


def test_bfloat16_stays_near_float32(golden, hugging_face):
    encoder, params = hugging_face
    data = np.load(golden / "t5_hf" / "case_A.npz")
    coarse = network(encoder.config, dtype=jnp.bfloat16)
    found = coarse.apply(params, data["input_ids"], data["attention_mask"].astype(bool))
    assert found.dtype == jnp.bfloat16
    error = np.abs(np.asarray(found, np.float32) - data["last_hidden_state"])
    assert error.mean() < 0.02 * np.abs(data["last_hidden_state"]).mean()


@pytest.mark.parametrize(
    ("name", "parameters"), [("small", 35_332_800), ("xxl", 4_762_310_656), ("byt5_small", None)]
)
def test_presets_have_the_published_number_of_parameters(name, parameters):
    shapes = network(T5Config.preset(name)).shapes()
    total = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    config = T5Config.preset(name)
    inner = config.heads * config.head_dim
    layer = 4 * config.width * inner + 3 * config.width * config.feed_forward + 2 * config.width
    table = config.vocabulary_size * config.width + config.buckets * config.heads
    assert total == table + config.width + config.layers * layer
    assert parameters is None or total == parameters


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no T5 preset 'huge'; one of small, base"):
        T5Config.preset("huge")


def test_a_float16_file_is_read_as_float16_and_a_json_says_what_it_is(golden):
    config, params = read_t5(golden / "t5_hf", dtype=jnp.float16)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float16)}
    assert config.heads == json.loads((golden / "t5_hf" / "config.json").read_text())["num_heads"]
