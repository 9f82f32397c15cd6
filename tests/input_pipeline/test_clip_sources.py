import builtins
import dataclasses
import json
import pickle
import types
from typing import ClassVar

import numpy as np
import pytest

from lumiere_jax.input_pipeline import Clip, DataConfig, TfdsSource, encode_clip, make_pipeline
from lumiere_jax.input_pipeline.sources import open_source
from lumiere_jax.one_line_errors import MissingExtra
from lumiere_jax.preparation import shards

RECORDS = DataConfig(frames=4, size=16, batch_size=2, text_length=8)


def clip(number, embedding=None):
    frames = np.random.default_rng(number).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    return Clip(frames=frames, fps=16.0, caption=f"clip {number}", text_embedding=embedding)


def write_records(folder, records):
    settings = {"size": 16, "frames": 4, "fps": 16.0}
    shards.begin(folder, settings)
    output = shards.ShardFolder(folder, clips_per_shard=3)
    for record in records:
        output.take([record], None)
    output.finish(settings, [4, 16, 16, 3], len(records))
    return dataclasses.replace(RECORDS, source=f"records:{folder}")


def test_records_read_back_in_order_across_shards(tmp_path):
    source = open_source(
        write_records(tmp_path / "clips", [encode_clip(clip(i)) for i in range(7)])
    )
    assert len(source) == 7
    for number in (0, 2, 3, 6):
        example = source.read(number)
        assert example.caption == f"clip {number}"
        assert example.frames.shape == (4, 16, 16, 3)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read(5).frames, source.read(5).frames)


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.5, 0.999])
def test_one_moment_of_a_record_is_the_frame_of_its_clip(tmp_path, moment):
    source = open_source(write_records(tmp_path / "clips", [encode_clip(clip(0), "jpeg")]))
    frame = source.read(0, moment).frames
    np.testing.assert_array_equal(frame, source.read(0).frames[int(4 * moment)][None])


def test_the_same_clips_in_another_folder_are_the_same_set(tmp_path):
    records = [encode_clip(clip(i)) for i in range(3)]
    first = open_source(write_records(tmp_path / "a", records))
    second = open_source(write_records(tmp_path / "b", records))
    other = open_source(write_records(tmp_path / "c", records[:2]))
    assert first.identity == second.identity != other.identity


def test_one_moment_of_a_synthetic_scene_is_the_frame_of_its_clip():
    source = open_source(DataConfig(frames=10, size=16))
    np.testing.assert_array_equal(source.read(3, 0.75).frames[0], source.read(3).frames[7])


def test_records_that_do_not_fit_name_the_flag(tmp_path):
    config = write_records(tmp_path / "clips", [encode_clip(clip(0))])
    for change, message in [
        ({"frames": 16}, r"data\.frames=16: .* have 4; set data\.frames=4"),
        ({"size": 32}, r"data\.size=32: .* have 16; set data\.size=16"),
        ({"split": "test"}, r"data\.split='test'.*no splits"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_source(dataclasses.replace(config, **change))


def test_folders_that_are_not_ready_say_what_to_run(tmp_path):
    missing = dataclasses.replace(RECORDS, source=f"records:{tmp_path / 'no'}")
    with pytest.raises(FileNotFoundError, match=r"index\.json.*lumiere_jax\.prepare"):
        open_source(missing)
    (tmp_path / "half" / "progress").mkdir(parents=True)
    half = dataclasses.replace(RECORDS, source=f"records:{tmp_path / 'half'}")
    with pytest.raises(FileNotFoundError, match="interrupted"):
        open_source(half)
    with pytest.raises(ValueError, match="holds no clips"):
        open_source(write_records(tmp_path / "empty", []))


def test_a_missing_or_shortened_shard_is_named(tmp_path):
    config = write_records(tmp_path / "clips", [encode_clip(clip(i)) for i in range(4)])
    shard = tmp_path / "clips" / "clips-00001.array_record"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=rf"clips-00001.*{len(whole) - 9} bytes"):
        open_source(config)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="clips-00001"):
        open_source(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("<html>\n", "not JSON.*web page"),
        ("", "not JSON: it is empty"),
        ("[]", "an array, expected an object"),
        ("{}", "lacks 'counts'"),
        ({"hash": 7}, "hash is not text"),
        ({"counts": {"clips": -1}}, r"counts\.clips=-1"),
        ({"counts": {"clips": 5}}, "the shards have 4"),
        ({"sizes": {"clip": [4, 16, 10**12, 3]}}, r"sizes\.clip=1000000000000"),
        ({"sizes": {"clip": 7}}, r"sizes\.clip is not an array"),
        ({"file": "../clips-00000.array_record"}, "plain name"),
        ({"file": "/etc/passwd"}, "plain name"),
        ({"file": "gs://x"}, "plain name"),
        ({"file": "clips-00001.array_record"}, "listed twice"),
        ({"records": 10**18}, r"records=1000000000000000000"),
        ({"bytes": "1"}, "not a whole number"),
        ({"sha256": "../../x"}, "not a SHA-256"),
    ],
)
def test_an_index_that_is_not_ours_is_named(tmp_path, change, message):
    config = write_records(tmp_path / "clips", [encode_clip(clip(i)) for i in range(4)])
    path = tmp_path / "clips" / "index.json"
    if isinstance(change, str):
        path.write_text(change)
    else:
        index = json.loads(path.read_text())
        of_a_shard = change.keys() <= index["shards"][0].keys()
        (index["shards"][0] if of_a_shard else index).update(change)
        path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=rf"index\.json.*{message}.*lumiere_jax\.prepare"):
        open_source(config)


def test_a_record_of_another_shape_or_width_is_listed_and_not_batched(tmp_path):
    embedding = np.zeros((3, 2), np.float16)
    records = [encode_clip(clip(i, embedding)) for i in range(4)]
    odd = dataclasses.replace(clip(1), frames=clip(1).frames[:, :8, :8], text_embedding=embedding)
    records[1], records[2] = encode_clip(odd), encode_clip(clip(2, np.zeros((3, 5), np.float16)))
    config = write_records(tmp_path / "clips", records)
    path = tmp_path / "clips" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"text": {"width": 2}}))
    config = dataclasses.replace(config, shuffle=False, text="embeddings", batch_size=4)
    with make_pipeline(config) as batches:
        assert next(batches)["record"].tolist() == [0, 3, 3, 3]
        assert [entry["record"] for entry in batches.quarantine] == [1, 2]


def test_an_unknown_source_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"data\.source='webdataset'.*records:<folder>"):
        open_source(DataConfig(source="webdataset"))


class Features:
    """Stand-in for TFDS's `FeaturesDict`, which is not a dictionary."""

    _features: ClassVar = {"label": types.SimpleNamespace(names=["red_circle", "blue_star"])}

    def keys(self):
        return self._features.keys()

    def __getitem__(self, name):
        return self._features[name]


class Examples(list):
    """Stand-in for `tfds.data_source(…)`."""

    dataset_info = types.SimpleNamespace(features=Features())


def tfds_examples():
    video = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 3)).astype(np.uint8)
    return Examples({"video": video, "caption": b"a cat", "label": np.int64(i)} for i in range(2))


def test_tfds_clips_are_cut_to_the_middle_and_resized():
    examples = tfds_examples()
    source = TfdsSource(examples, dataclasses.replace(RECORDS, size=20))
    example = source.read(0)
    assert example.caption == "a cat"
    np.testing.assert_array_equal(example.frames, examples[0]["video"][2:6, :, 5:25])
    np.testing.assert_array_equal(source.read(0, 0.5).frames, example.frames[2:3])
    assert TfdsSource(examples, RECORDS).read(1).frames.shape == (4, 16, 16, 3)


def test_a_tfds_class_label_becomes_words():
    source = TfdsSource(tfds_examples(), dataclasses.replace(RECORDS, caption_feature="label"))
    assert [source.read(i).caption for i in range(2)] == ["red circle", "blue star"]


def test_a_tfds_caption_that_is_not_text_names_the_example():
    examples = tfds_examples()
    examples[0]["caption"], examples[1]["caption"] = b" a\tcat\n", b"caf\xe9"
    source = TfdsSource(examples, RECORDS, name="films")
    assert source.read(0).caption == "a cat"
    with pytest.raises(ValueError, match=r"tfds:films: the caption of example 1 is not UTF-8"):
        source.read(1)


def test_tfds_sets_that_do_not_fit_name_the_flag():
    with pytest.raises(ValueError, match=r"data\.video_feature='clip'.*video, caption, label"):
        TfdsSource(tfds_examples(), dataclasses.replace(RECORDS, video_feature="clip"))
    with pytest.raises(ValueError, match="holds no clips"):
        TfdsSource([], RECORDS)
    with pytest.raises(ValueError, match=r"9 frames, fewer than data\.frames=10"):
        TfdsSource(tfds_examples(), dataclasses.replace(RECORDS, frames=10)).read(0)


def test_without_tensorflow_datasets_the_extra_is_named(monkeypatch):
    real_import = builtins.__import__

    def without_tfds(name, *args, **kwargs):
        if name == "tensorflow_datasets":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tfds)
    with pytest.raises(MissingExtra, match=r"lumiere-jax\[tfds\]"):
        open_source(dataclasses.replace(RECORDS, source="tfds:ucf101"))


def test_stored_embeddings_keep_their_length(tmp_path):
    embedding = np.arange(6, dtype=np.float16).reshape(3, 2)
    source = open_source(write_records(tmp_path / "clips", [encode_clip(clip(0, embedding))]))
    np.testing.assert_array_equal(source.read(0).text_embedding, embedding)
    assert json.loads((tmp_path / "clips" / "index.json").read_text())["counts"]["clips"] == 1


def test_a_flipped_byte_in_a_shard_loses_one_clip_and_not_the_run(tmp_path):
    records = [encode_clip(clip(i)) for i in range(3)]
    config = dataclasses.replace(write_records(tmp_path / "clips", records), shuffle=False)
    shard = tmp_path / "clips" / "clips-00000.array_record"
    data = bytearray(shard.read_bytes())
    data[len(records[0]) + len(records[1]) // 2] ^= 0xFF  # inside the second clip
    shard.write_bytes(bytes(data))
    with make_pipeline(dataclasses.replace(config, batch_size=3)) as batches:
        assert next(batches)["record"].tolist() == [0, 2, 2]
        assert [(e["record"], e["substitute"]) for e in batches.quarantine] == [(1, 2)]
