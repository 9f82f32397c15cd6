"""The walk-through of docs/start_from_deepfloyd_if.md, on a tiny randomised IF."""

import dataclasses

import jax
import numpy as np
import pytest

from configs import inflated
from lumiere_jax.checkpoints import Model, Part, read_model, write_model
from lumiere_jax.convert import Conversion, convert
from lumiere_jax.models import T5Config, network
from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.preparation.clips import prepare
from lumiere_jax.preparation.embedding import embed_text
from lumiere_jax.training.command_line import to_experiment
from lumiere_jax.training.loop import train
from lumiere_jax.training.runs import load_run
from lumiere_jax.video import ClipConfig, write_mp4

FRAMES, SIZE, TOKENS = 8, 16, 12


@pytest.fixture(scope="module")
def folders(golden, tmp_path_factory):
    """Make an inflated IF, and captioned clips with their embeddings."""
    folder = tmp_path_factory.mktemp("if")
    convert(
        Conversion(
            path=str(golden / "if1_unet"),
            output=str(folder / "video"),
            source="diffusers",
            inflate=True,
            size=SIZE,
            frames=FRAMES,
        )
    )
    config = T5Config(vocabulary_size=384, width=48, feed_forward=32, heads=2, head_dim=8, layers=1)
    text = Part(
        config=config,
        params=network(config).init(jax.random.key(0)),
        settings={"tokenizer": "bytes", "length": TOKENS},
    )
    write_model(folder / "text", Model(parts={"text": text}))
    videos = folder / "videos"
    videos.mkdir()
    scenes = MovingShapes(frames=FRAMES, size=SIZE, seed=0)
    for index in range(4):
        write_mp4(videos / f"{index}.mp4", scenes.clip(index), 16)
        (videos / f"{index}.txt").write_text(scenes.caption(index))
    prepare(str(videos), str(folder / "clips"), ClipConfig(size=SIZE, frames=FRAMES, fps=16))
    embed_text(folder / "clips", folder / "text", folder / "with_text", whole=True, length=TOKENS)
    return folder


@pytest.mark.slow
def test_an_inflated_if_trains_its_temporal_half_and_nothing_else(folders):
    experiment = to_experiment(inflated.get_config(str(folders / "video")))
    experiment = dataclasses.replace(
        experiment,
        data=dataclasses.replace(
            experiment.data,
            source=f"records:{folders / 'with_text'}",
            batch_size=8,
            text_length=TOKENS,
        ),
        train=dataclasses.replace(experiment.train, steps=2, log_every=1),
        optimizer=dataclasses.replace(experiment.optimizer, warmup_steps=0),
    )
    assert experiment.data.text == "embeddings"
    assert train(experiment, folders / "run") is None
    before = read_model(folders / "video").parts["base"].params
    after = load_run(folders / "run" / "base").params["unet"]
    leaves = jax.tree_util.tree_leaves_with_path(before)
    moved = {
        path: bool(np.any(np.asarray(value) != np.asarray(new)))
        for (path, value), new in zip(leaves, jax.tree.leaves(after))
    }
    temporal = {path: any(key.key == "temporal" for key in path) for path in moved}
    assert not any(moved[path] for path in moved if not temporal[path])
    projections = [path for path in moved if temporal[path] and "projection" in str(path)]
    assert projections
    assert all(moved[path] for path in projections)
