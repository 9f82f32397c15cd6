"""A run small enough for a test: two levels, eight channels, four frames of 8×8."""

import dataclasses

import jax
import numpy as np

from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.models import T5Config, TemporalConfig, UNetConfig
from lumiere_jax.text import ByteTokenizer
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.optimizer import OptimizerConfig
from lumiere_jax.weights import Model, Part, write_model

ROWS = 8


def tiny_experiment(stage="image", **train) -> Experiment:
    model = UNetConfig(
        channels=(8, 16),
        blocks=(1, 1),
        attention=(False, True),
        head_dim=8,
        groups=4,
        text_dim=32,
        pool_heads=4,
        text_mask=True,
        temporal=TemporalConfig(head_dim=8, attention_layers=1) if stage == "base" else None,
    )
    defaults = {"trainable": "temporal"} if stage == "base" else {}
    defaults |= {"steps": 4, "log_every": 2, "save_every": 2, "ema_decay": 0.9}
    return Experiment(
        name="tiny",
        stage=stage,
        model=model,
        text=T5Config(
            vocabulary_size=384, width=32, feed_forward=32, heads=2, head_dim=8, layers=1
        ),
        data=DataConfig(
            frames=4,
            size=8,
            image_frames=stage == "image",
            batch_size=ROWS,
            text_length=8,
            examples=32,
        ),
        optimizer=OptimizerConfig(learning_rate=1e-2),
        train=TrainConfig(**(defaults | train)),
    )


def with_train(experiment: Experiment, **train) -> Experiment:
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **train))


def tiny_batch(index: int, frames: int = 4, rows: int = ROWS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    tokens = ByteTokenizer().encode([f"clip {rng.integers(99)}" for _ in range(rows)], 8)
    return {
        "video": rng.integers(0, 256, (rows, frames, 8, 8, 3), np.uint8),
        "tokens": tokens.ids,
        "token_mask": tokens.mask,
        "record": index * rows + np.arange(rows),
    }


def untrained(folder, experiment: Experiment):
    """A model folder with weights that no step has changed, to start a stage from."""
    # Zero-started layers would hide what lies before them.
    params = jax.tree.map(
        lambda leaf: leaf + 0.05 * np.cos(np.arange(leaf.size, dtype="f4")).reshape(leaf.shape),
        jax.device_get(make_objective(experiment).init(jax.random.key(0))),
    )
    parts = {"base": Part(config=experiment.model, params=params["unet"])}
    parts["text"] = Part(config=experiment.text, params=params["text"])
    write_model(folder, Model(parts=parts, settings={"stages": ["base"]}))
    return folder
