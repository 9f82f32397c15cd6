"""The command `python -m lumiere_jax.embed_text`: embeds, resumes, and refuses to mix."""

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image

from lumiere_jax.checkpoints.mapping import write_entries
from lumiere_jax.checkpoints.t5 import hugging_face_entries
from lumiere_jax.convert import Conversion, convert
from lumiere_jax.input_pipeline import DataConfig, make_pipeline
from lumiere_jax.input_pipeline.records import decode_clip
from lumiere_jax.models import T5Config, network
from lumiere_jax.preparation.clips import prepare
from lumiere_jax.text import ByteTokenizer
from lumiere_jax.text.stored import read_prompts
from lumiere_jax.training.data import prompt_text
from lumiere_jax.video import ClipConfig, write_mp4
from tests.tiny import tiny_experiment

CAPTIONS = ["red", "a blue square", "green", "circle"]
T5 = T5Config(vocabulary_size=384, width=16, feed_forward=16, heads=2, layers=1, head_dim=8)
HUGGING_FACE = {
    "model_type": "t5",
    "feed_forward_proj": "gated-gelu",
    "vocab_size": 384,
    "d_model": 16,
    "d_ff": 16,
    "num_heads": 2,
    "d_kv": 8,
    "num_layers": 1,
}


def encoder(folder, seed):
    """Write a tiny ByT5 as Hugging Face stores it; it reads bytes, without a tokenizer file."""
    folder.mkdir()
    params = network(T5).init(jax.random.key(seed))
    write_entries(folder / "model.safetensors", hugging_face_entries(T5), params)
    (folder / "config.json").write_text(json.dumps(HUGGING_FACE))
    return params


def clips(folder, captions):
    """Prepare two shards of two clips."""
    videos = folder.parent / f"{folder.name}_videos"
    videos.mkdir()
    for index, caption in enumerate(captions):
        write_mp4(videos / f"{index}.mp4", np.full((4, 16, 16, 3), 60 * index, np.uint8), 8)
        (videos / f"{index}.txt").write_text(caption)
    settings = ClipConfig(size=16, frames=4, fps=8)
    prepare(str(videos), str(folder), settings, clips_per_shard=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Make a folder of clips, two encoders, and the first one's embeddings."""
    home = tmp_path_factory.mktemp("home")
    params = encoder(home / "t5", 0)
    encoder(home / "other_t5", 1)
    clips(home / "clips", CAPTIONS)
    done = embed(home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"4 clips with embeddings in {home / 'out'}"
    return home, params


def embed(home, source="clips", model="t5", output="out", *more):
    folders = {"source": source, "model": model, "output": output}
    arguments = [f"--{name}={home / folder}" for name, folder in folders.items()]
    command = [sys.executable, "-m", "lumiere_jax.embed_text", *arguments, "--batch_size=2", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def refused(done, *words):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def contents(folder):
    """Return name → (bytes, modification time) of all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_each_caption_is_stored_with_the_encoder_s_states_of_all_its_tokens(home):
    folder, params = home
    shards = sorted((folder / "out").glob("*.array_record"))
    found = [
        decode_clip(record) for path in shards for record in ArrayRecordReader(str(path)).read_all()
    ]
    assert len(shards) == 2
    assert sorted(clip.caption for clip in found) == sorted(CAPTIONS)
    tokens = ByteTokenizer().encode([clip.caption for clip in found], 77)
    states = network(T5).apply(params, tokens.ids, tokens.mask)
    for clip, wanted in zip(found, states):
        assert clip.text_embedding.shape == (
            77,
            16,
        )  # a T5 alone may serve a model that sees padding
        np.testing.assert_allclose(clip.text_embedding, wanted, atol=1e-2, rtol=1e-2)
    assert np.load(folder / "out" / "null_text.npy").shape == (77, 16)


def test_the_same_command_again_does_nothing(home):
    folder, _ = home
    before = contents(folder / "out")
    done = embed(folder)
    assert done.returncode == 0
    assert done.stdout.startswith("4 clips")
    assert contents(folder / "out") == before


def test_the_encoder_as_a_model_folder_is_the_same_encoder(home):
    folder, _ = home
    convert(Conversion(source="huggingface", path=str(folder / "t5"), output=str(folder / "model")))
    before = contents(folder / "out")
    assert embed(folder, model="model").returncode == 0
    assert contents(folder / "out") == before


def test_an_interrupted_run_resumes_at_its_shard(home):
    folder, _ = home
    shutil.copytree(folder / "clips", folder / "damaged")
    last = max((folder / "damaged").glob("*.array_record"))
    last.write_bytes(last.read_bytes()[:100])
    refused(embed(folder, "damaged", "t5", "broken"), str(last), "lumiere_jax.prepare")
    assert not (folder / "broken" / "index.json").exists()
    first = min((folder / "broken").glob("*.array_record"))
    written = first.stat().st_mtime_ns
    assert embed(folder, "clips", "t5", "broken").returncode == 0
    assert first.stat().st_mtime_ns == written
    whole, resumed = contents(folder / "out"), contents(folder / "broken")
    assert {name: data for name, (data, _) in resumed.items()} == {
        name: data for name, (data, _) in whole.items()
    }


def test_two_encoders_lengths_or_sets_of_clips_are_never_mixed_in_one_folder(home):
    folder, _ = home
    clips(folder / "newer", ["red", "a blue square", "green", "another circle"])
    before = contents(folder / "out")
    mixed = ("must not be mixed", "give a new --output")
    refused(embed(folder, model="other_t5"), "made with another encoder", *mixed)
    refused(embed(folder, "newer"), "made with another source", *mixed)
    refused(
        embed(folder, "clips", "t5", "out", "--length=12"), "another length (77, now 12)", *mixed
    )
    assert contents(folder / "out") == before


def test_missing_and_foreign_folders_are_one_line(home):
    folder, _ = home
    refused(embed(folder, "nothing"), "nothing/index.json: no such file", "lumiere_jax.prepare")
    refused(embed(folder, model="nothing"), "nothing/config.json: no such file")
    refused(embed(folder, output="clips"), "holds clips without embeddings", "--output")
    refused(embed(folder, output="t5"), "is not empty and holds no embeddings", "--output")


def test_prompts_are_stored_beside_the_clips_for_samples_during_training(home):
    folder, params = home
    first = embed(folder, "clips", "t5", "out", "--prompt=a  red fox", "--prompt=snow")
    assert first.stdout.endswith("2 prompts beside them\n"), first.stderr
    assert embed(folder, "clips", "t5", "out", "--prompt=a cat").returncode == 0
    stored = read_prompts(folder / "out/prompts.npz", T5.width)
    assert list(stored) == ["a red fox", "snow", "a cat"]
    tokens = ByteTokenizer().encode(["snow"], 77)
    expected = network(T5).apply(params, tokens.ids, tokens.mask)[0]
    rows = stored["snow"]
    np.testing.assert_allclose(rows, expected[: len(rows)], atol=2e-3)
    experiment = stored_experiment(f"records:{folder / 'out'}")
    text = prompt_text(experiment, ["a  cat", "snow"])
    np.testing.assert_array_equal(text.embedding[1], rows[:12])
    with pytest.raises(ValueError, match=r'embed_text --prompt="a dog"'):
        prompt_text(experiment, ["snow", "a dog"])


def stored_experiment(source):
    """Return a run of the tiny model that reads stored embeddings."""
    experiment = tiny_experiment("image")
    data = dataclasses.replace(experiment.data, source=source, text="embeddings", text_length=12)
    model = dataclasses.replace(experiment.model, text_dim=T5.width, cross_dim=32)
    return dataclasses.replace(experiment, data=data, model=model, text=None)


def test_captions_of_pictures_are_embedded_beside_them(home):
    folder, _ = home
    style = folder / "style"
    style.mkdir()
    for name, caption in (("a", "a red house"), ("b", "a boat")):
        Image.new("RGB", (8, 8), "red").save(style / f"{name}.png")
        (style / f"{name}.txt").write_text(caption)
    data = DataConfig(
        source=f"images:{style}",
        size=8,
        image_frames=True,
        batch_size=2,
        text="embeddings",
        text_length=12,
    )
    with pytest.raises(FileNotFoundError, match=r"prompts\.npz is missing; .*embed_text"):
        make_pipeline(data)
    done = embed(folder, "style", "t5", "style")
    assert done.stdout == f"embeddings of 2 captions in {style}\n", done.stderr
    with make_pipeline(data) as batches:
        batch = next(batches)
    stored = read_prompts(style / "prompts.npz", T5.width)
    assert set(stored) == {"a red house", "a boat"}
    rows = {tuple(row.ravel()) for row in batch["text_embedding"]}
    assert rows == {tuple(row[:12].ravel()) for row in stored.values()}
    assert (style / "null_text.npy").exists()
    refused = embed(folder, "style", "other_t5", "style")
    assert "made by another encoder" in refused.stderr
    assert "use --output=" in embed(folder, "style", "t5", "elsewhere").stderr
