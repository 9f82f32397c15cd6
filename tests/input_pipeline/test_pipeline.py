import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from lumiere_jax.input_pipeline import DataConfig, Example, make_pipeline
from lumiere_jax.input_pipeline.loading import Quarantine
from lumiere_jax.text import ByteTokenizer

CONFIG = DataConfig(frames=3, size=8, batch_size=4, text_length=8, examples=10)


class NumberedClips:
    """Clips whose pixels are all the clip's number; some cannot be read."""

    def __init__(self, count=10, broken=(), embedding=False):
        self.count, self.broken, self.embedding = count, broken, embedding
        self.identity = f"numbered {count}"

    def __len__(self):
        return self.count

    def read(self, record, moment=None):
        if record in self.broken:
            raise OSError(f"clip {record} is damaged")
        frames = np.full((3, 8, 8, 3), record, np.uint8)
        frames[:, 0, 0, 0] = [100, 101, 102]  # distinguishes the frames
        stored = np.full((record % 3 + 1, 2), record, np.float16) if self.embedding else None
        frames = frames if moment is None else frames[int(moment * 3)][None]
        return Example(frames, f"{record}", stored)


def records(steps, config=CONFIG, source=None, state=None, **process):
    with make_pipeline(config, source=source or NumberedClips(), **process) as batches:
        if state is not None:
            batches.set_state(state)
        return np.array([next(batches)["record"] for _ in range(steps)])


def test_a_batch_has_uint8_clips_tokens_and_record_numbers():
    with make_pipeline(CONFIG, source=NumberedClips()) as batches:
        batch = next(batches)
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "video": ((4, 3, 8, 8, 3), "uint8"),
        "tokens": ((4, 8), "int32"),
        "token_mask": ((4, 8), "bool"),
        "record": ((4,), "int64"),
    }
    np.testing.assert_array_equal(batch["video"][:, 0, 5, 5, 0], batch["record"])
    expected = ByteTokenizer().encode([str(record) for record in batch["record"]], 8)
    np.testing.assert_array_equal(batch["tokens"], expected.ids)
    np.testing.assert_array_equal(batch["token_mask"], expected.mask)


def test_every_epoch_shows_every_clip_once_in_another_order():
    order = records(15).reshape(6, 10)  # 15 batches of 4: six epochs of 10
    for epoch in order:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in order}) == 6


def test_the_order_belongs_to_the_seed():
    np.testing.assert_array_equal(records(5), records(5))
    assert (records(5) != records(5, dataclasses.replace(CONFIG, seed=1))).any()


def test_without_shuffling_clips_come_as_stored():
    order = records(5, dataclasses.replace(CONFIG, shuffle=False))
    np.testing.assert_array_equal(order.ravel(), np.tile(np.arange(10), 2))


def test_a_restored_pipeline_resumes_exactly():
    whole = records(9)
    with make_pipeline(CONFIG, source=NumberedClips()) as batches:
        for _ in range(4):
            next(batches)
        state = json.loads(json.dumps(batches.get_state()))
    np.testing.assert_array_equal(records(5, state=state), whole[4:])


def test_a_state_can_be_set_in_the_middle_of_reading():
    with make_pipeline(CONFIG, source=NumberedClips()) as batches:
        start = batches.get_state()
        first = [next(batches)["record"] for _ in range(3)]
        batches.set_state(start)
        np.testing.assert_array_equal([next(batches)["record"] for _ in range(3)], first)


def test_processes_split_each_batch_and_any_number_of_them_resumes_it():
    whole = records(6)
    for count in (1, 2, 4):
        parts = [records(6, process_index=i, process_count=count) for i in range(count)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
        state = {**make_pipeline(CONFIG, source=NumberedClips()).get_state(), "position": 3 * 4}
        parts = [
            records(3, state=state, process_index=i, process_count=count) for i in range(count)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole[3:])


def test_the_image_stage_gets_one_frame_of_each_clip_chosen_by_seed_and_position():
    config = dataclasses.replace(CONFIG, image_frames=True)

    def frames(seed=0):
        with make_pipeline(
            dataclasses.replace(config, seed=seed), source=NumberedClips()
        ) as batches:
            videos = np.stack([next(batches)["video"] for _ in range(15)])
        assert videos.shape == (15, 4, 1, 8, 8, 3)
        return videos[:, :, 0, 0, 0, 0]

    np.testing.assert_array_equal(frames(), frames())
    assert set(frames().ravel()) == {100, 101, 102}
    assert (frames() != frames(seed=1)).any()


def test_worker_processes_change_nothing():
    config = dataclasses.replace(CONFIG, size=16, image_frames=True)
    batches = {}
    for workers in (0, 2):
        with make_pipeline(dataclasses.replace(config, workers=workers)) as pipeline:
            pipeline.set_state({**pipeline.get_state(), "position": 8})
            batches[workers] = [next(pipeline) for _ in range(3)]
    for one, other in zip(batches[0], batches[2]):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_an_unreadable_clip_is_replaced_by_the_next_and_listed_once(tmp_path):
    source = NumberedClips(broken=(3, 4))
    path = tmp_path / "run" / "quarantine.jsonl"
    with make_pipeline(CONFIG, source=source, quarantine=path) as batches:
        order = np.array([next(batches)["record"] for _ in range(10)])
        entries = batches.quarantine
    sound = records(10)
    np.testing.assert_array_equal(order, np.where((sound == 3) | (sound == 4), 5, sound))
    assert {(e["record"], e["substitute"]) for e in entries} == {(3, 5), (4, 5)}
    assert "OSError: clip 3 is damaged" in {e["reason"] for e in entries}
    assert [json.loads(line) for line in path.read_text().splitlines()] == entries
    with make_pipeline(CONFIG, source=source, quarantine=path) as again:
        for _ in range(10):
            next(again)
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("rest", [b"", b'{"rec', bytes(50), b"[1]\n{}\n", b'{"record": "x"}\n'])
def test_half_a_line_in_the_quarantine_does_not_affect_the_others(tmp_path, rest):
    path = tmp_path / "quarantine.jsonl"
    known = {"record": 3, "reason": "OSError", "substitute": 5}
    path.write_bytes(json.dumps(known).encode() + b"\n" + rest)
    quarantine = Quarantine(path)
    assert quarantine.entries == [known]
    new = {"record": 4, "reason": "OSError", "substitute": 5}
    quarantine.add([known, new])
    quarantine.add([known, new])
    assert Quarantine(path).entries == [known, new]
    assert path.read_bytes().startswith(json.dumps(known).encode() + b"\n" + rest)


@pytest.mark.parametrize("workers", [0, 1])
def test_cut_captions_are_reported_once(caplog, workers):
    long = dataclasses.replace(CONFIG, text_length=16, source="moving_shapes", workers=workers)
    with caplog.at_level("WARNING"), make_pipeline(long) as batches:
        for _ in range(3):
            assert "unread" not in next(batches)
    (line,) = [r.getMessage() for r in caplog.records if "text_length" in r.getMessage()]
    assert line.startswith("data.text_length=16: the text of record")
    caplog.clear()
    fits = dataclasses.replace(long, text_length=64, workers=0)
    with caplog.at_level("WARNING"), make_pipeline(fits) as batches:
        next(batches)
    assert "text_length" not in caplog.text


def test_a_set_of_damaged_clips_alone_stops_the_run():
    with (
        make_pipeline(CONFIG, source=NumberedClips(broken=range(10))) as batches,
        pytest.raises(RuntimeError, match=r"16 clips in a row.*damaged"),
    ):
        next(batches)


def test_stored_embeddings_are_padded_and_their_lengths_kept():
    config = dataclasses.replace(CONFIG, text="embeddings", text_length=2)
    with make_pipeline(config, source=NumberedClips(embedding=True)) as batches:
        batch = next(batches)
    lengths = np.minimum(batch["record"] % 3 + 1, 2)
    np.testing.assert_array_equal(batch["text_mask"].sum(1), lengths)
    assert batch["text_embedding"].shape == (4, 2, 2)
    assert (batch["text_embedding"][~batch["text_mask"]] == 0).all()
    np.testing.assert_array_equal(batch["text_embedding"][:, 0, 0], batch["record"])
    assert "tokens" not in batch


def test_missing_embeddings_are_not_counted_as_damage():
    config = dataclasses.replace(CONFIG, text="embeddings")
    with (
        make_pipeline(config, source=NumberedClips()) as batches,
        pytest.raises(ValueError, match=r"data\.text='embeddings'.*data\.text='tokens'"),
    ):
        next(batches)


def test_a_position_in_other_data_is_refused():
    with make_pipeline(CONFIG, source=NumberedClips()) as batches:
        state = batches.get_state()
        with pytest.raises(ValueError, match=r"data\.seed=0.*data\.seed=5"):
            batches.set_state({**state, "seed": 5})
        with pytest.raises(ValueError, match=r"data\.source='numbered 10'"):
            batches.set_state({**state, "source": "numbered 11"})


def test_a_batch_that_the_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"data\.batch_size=4 .* 3 processes; 6 does"):
        make_pipeline(CONFIG, process_count=3)


def test_wrong_settings_name_their_field():
    for change in ({"batch_size": 0}, {"workers": -1}, {"frames": 0}, {"text_length": 0}):
        (name, value) = next(iter(change.items()))
        with pytest.raises(ValueError, match=rf"data\.{name}={value}"):
            dataclasses.replace(CONFIG, **change)
    with pytest.raises(ValueError, match=r"data\.text='words'"):
        dataclasses.replace(CONFIG, text="words")


def test_importing_and_reading_sources_imports_no_jax():
    code = (
        "import sys; from lumiere_jax.input_pipeline import DataConfig;"
        "from lumiere_jax.input_pipeline.sources import open_source;"
        "open_source(DataConfig(frames=2, size=8)).read(0); sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
