"""Captions are embedded once, in parts if interrupted, never by two encoders into one folder."""

import dataclasses
import hashlib
import json

import jax
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from lumiere_jax.checkpoints import Model, Part, write_model
from lumiere_jax.checkpoints.fingerprint import model_fingerprint
from lumiere_jax.input_pipeline.records import Clip, decode_clip, encode_clip
from lumiere_jax.models import T5Config, network
from lumiere_jax.preparation import embedding
from lumiere_jax.preparation.embedded_clips import EmbedConfig, embed_folder
from lumiere_jax.text import ByteTokenizer

TINY = T5Config(vocabulary_size=384, width=8, feed_forward=16, heads=2, layers=1, head_dim=4)
CAPTIONS = ["red", "a blue square", "", "circle"]
SETTINGS = EmbedConfig(
    encoder="e", tokenizer="bytes", length=8, whole=False, dtype="float16", source="s"
)


@pytest.fixture(scope="module")
def params():
    return network(TINY).init(jax.random.key(0))


@pytest.fixture
def clips(tmp_path):
    """Write two shards of two clips, as lumiere_jax.prepare does."""
    folder = tmp_path / "clips"
    folder.mkdir()
    shards = []
    for number in range(2):
        path = folder / f"clips-{number:05d}.array_record"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for caption in CAPTIONS[2 * number : 2 * number + 2]:
            frames = np.full((1, 8, 8, 3), len(caption), np.uint8)
            writer.write(encode_clip(Clip(frames=frames, fps=8.0, caption=caption), "raw"))
        writer.close()
        data = path.read_bytes()
        entry = {"file": path.name, "records": 2, "bytes": len(data)}
        shards.append(entry | {"sha256": hashlib.sha256(data).hexdigest()})
    index = {"format": 1, "counts": {"clips": 4}, "sizes": {"clip": [1, 8, 8, 3], "bytes": 0}}
    index |= {"hash": "s", "shards": shards}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def _embedder(params, whole=False, batch_size=3):
    part = Part(config=TINY, params=params)
    return embedding.make_embedder(
        part, "bytes", 8, whole=whole, dtype="float16", batch_size=batch_size
    )


def _records(folder):
    for path in sorted(folder.glob("*.array_record")):
        yield from ArrayRecordReader(str(path)).read_all()


def test_each_record_gains_its_caption_s_states_at_their_true_length(clips, tmp_path, params):
    embed_folder(clips, tmp_path / "out", SETTINGS, _embedder(params))
    for caption, record in zip(CAPTIONS, _records(tmp_path / "out"), strict=True):
        clip = decode_clip(record)
        tokens = ByteTokenizer().encode([caption], 8)
        wanted = network(TINY).apply(params, tokens.ids, tokens.mask)[0][tokens.mask[0]]
        assert clip.caption == caption
        np.testing.assert_allclose(clip.text_embedding, wanted, atol=2e-3)
        assert clip.frames[0, 0, 0, 0] == len(caption)
    null = np.load(tmp_path / "out" / "null_text.npy")
    assert null.shape == (1, 8)


def test_whole_embeddings_keep_the_padding(params):
    rows = _embedder(params, whole=True)(CAPTIONS)
    assert [row.shape for row in rows] == [(8, 8)] * 4


def test_the_batch_size_changes_nothing(params):
    for one, other in zip(_embedder(params, batch_size=1)(CAPTIONS), _embedder(params)(CAPTIONS)):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_an_interrupted_run_resumes_at_its_shard_with_the_same_result(clips, tmp_path, params):
    whole = embed_folder(clips, tmp_path / "a", SETTINGS, _embedder(params))
    inner, calls = _embedder(params), []

    def fails_on_the_second_shard(captions):
        calls.append(captions)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return inner(captions)

    with pytest.raises(KeyboardInterrupt):
        embed_folder(clips, tmp_path / "b", SETTINGS, fails_on_the_second_shard)
    assert not (tmp_path / "b" / "index.json").exists()
    again = []
    resumed = embed_folder(
        clips, tmp_path / "b", SETTINGS, lambda captions: again.append(captions) or inner(captions)
    )
    assert again == [CAPTIONS[2:], [""]]
    assert resumed == whole
    assert list(_records(tmp_path / "a")) == list(_records(tmp_path / "b"))


@pytest.mark.parametrize("damage", [b"", bytes(90), b"{"])
@pytest.mark.parametrize("lost", ["progress/settings.json", "progress/*.array_record.json", "c*"])
def test_files_damaged_by_a_power_cut_are_made_again(clips, tmp_path, params, lost, damage):
    whole, inner, calls = tmp_path / "a", _embedder(params), []
    embed_folder(clips, whole, SETTINGS, inner, ByteTokenizer().count)

    def fails_on_the_second_shard(captions):
        calls.append(captions)
        return inner(captions) if len(calls) == 1 else 1 / 0

    with pytest.raises(ZeroDivisionError):
        embed_folder(clips, tmp_path / "b", SETTINGS, fails_on_the_second_shard)
    (path,) = (tmp_path / "b").glob(lost)
    path.write_bytes(damage)
    index = embed_folder(clips, tmp_path / "b", SETTINGS, inner, ByteTokenizer().count)
    assert index == json.loads((whole / "index.json").read_text())


def test_captions_that_are_cut_are_counted(clips, tmp_path, params):
    count = ByteTokenizer().count
    index = embed_folder(clips, tmp_path / "a", SETTINGS, _embedder(params), count)
    assert index["text"]["cut"] == 1  # "a blue square" has more than 8 bytes
    assert embed_folder(clips, tmp_path / "a", SETTINGS, None, count) == index


def test_an_index_that_leads_out_of_its_folder_is_refused(clips, tmp_path, params):
    path = clips / "index.json"
    index = json.loads(path.read_text())
    index["shards"][0]["file"] = "../../clips-00000.array_record"
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"index\.json.*plain name of a file"):
        embed_folder(clips, tmp_path / "out", SETTINGS, _embedder(params))
    assert not (tmp_path / "out").exists()


def test_a_shard_without_clips_is_named(clips, tmp_path, params):
    shard = clips / "clips-00000.array_record"
    for data in (b"<html>", b"", shard.read_bytes().replace(b"caption", b"capture")):
        shard.write_bytes(data)
        path = clips / "index.json"
        index = json.loads(path.read_text())
        index["shards"][0] |= {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": max(1, len(data)),
        }
        path.write_text(json.dumps(index))
        with pytest.raises(ValueError, match=f"{shard} holds no clips.*lumiere_jax\\.prepare"):
            embed_folder(clips, tmp_path / "out", SETTINGS, _embedder(params))


@pytest.mark.parametrize("field", ["encoder", "tokenizer", "length", "whole", "source"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_encoder_or_other_clips_is_refused(
    clips, tmp_path, params, field, finished
):
    other = dataclasses.replace(SETTINGS, **{field: "other"})
    if finished:
        embed_folder(clips, tmp_path / "out", other, _embedder(params))
    else:
        with pytest.raises(ZeroDivisionError):
            embed_folder(clips, tmp_path / "out", other, lambda captions: 1 / 0)
    with pytest.raises(ValueError, match=f"made with another {field}.*must not be mixed"):
        embed_folder(clips, tmp_path / "out", SETTINGS, _embedder(params))


def test_a_folder_without_embeddings_is_not_written_into(clips, params):
    with pytest.raises(ValueError, match="holds clips without embeddings"):
        embed_folder(clips, clips, SETTINGS, _embedder(params))


def test_a_fingerprint_changes_with_any_number(params):
    first = model_fingerprint(TINY, params)
    assert first == model_fingerprint(TINY, jax.tree.map(np.array, params))
    changed = jax.tree.map(np.array, params)
    changed["block_0"]["attention"]["query"]["kernel"][0, 0] += 1e-6
    assert model_fingerprint(TINY, changed) != first
    assert model_fingerprint(dataclasses.replace(TINY, max_distance=64), params) != first


def test_the_encoder_of_a_model_folder_is_found_with_its_tokenizer(tmp_path, params):
    part = Part(config=TINY, params=params, settings={"tokenizer": "bytes", "length": 8})
    write_model(tmp_path / "model", Model(parts={"text": part}))
    found, tokenizer, whole = embedding.load_encoder(tmp_path / "model")
    assert (found.config, tokenizer, whole) == (TINY, "bytes", True)
