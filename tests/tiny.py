"""The tiny model of the tests: two levels of 8 and 16 channels, 4 frames of 8×8 pixels.

In memory with random parameters (`tiny_model`), or as a run to train (`tiny_experiment`).
"""

import dataclasses

import jax
import numpy as np

from lumiere_jax.checkpoints import Model, Part, write_model
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.models import T5Config, TemporalConfig, UNetConfig, network
from lumiere_jax.text import ByteTokenizer
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.optimizer import OptimizerConfig

TEXT = T5Config(vocabulary_size=384, width=32, feed_forward=32, heads=2, head_dim=8, layers=1)
ROWS = 8


def unet(**changes) -> UNetConfig:
    """Return the config of the tiny U-Net, with temporal layers and text."""
    options = dict(
        channels=(8, 16),
        blocks=(1, 1),
        attention=(False, True),
        head_dim=8,
        groups=4,
        text_dim=32,
        pool_heads=4,
        text_mask=True,
        temporal=TemporalConfig(head_dim=8, attention_layers=1),
    )
    return UNetConfig(**(options | changes))


def refiner_options(**changes) -> dict:
    """Return what makes an image super-resolution without text of `unet`."""
    options = dict(
        self_attention=False,
        text_dim=None,
        text_mask=False,
        low_resolution=True,
        augmentation=True,
        temporal=None,
    )
    return options | changes


def part(config, seed: int, **settings) -> Part:
    """Return a network with random parameters, also those that are initialized to zero."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: np.asarray(rng.normal(size=leaf.shape) * 0.1, np.float32),
        network(config).shapes(),
    )
    return Part(config=config, params=params, settings=settings)


def tiny_model(*, refined: bool = False, observed: bool = False, name: str = "tiny") -> Model:
    """Return a base of 4 frames of 8×8; if `refined`, with an SSR to 16×16, windows of 2 frames."""
    options = {"diffusion": {}, "sampler": {"steps": 3, "guidance_scale": 2.0}}
    parts = {
        "text": part(TEXT, 0, tokenizer="bytes", length=8),
        "base": part(unet(observed=observed), 1, frames=4, size=8, **options),
    }
    if refined:
        config = unet(low_resolution=True, augmentation=True, self_attention=False)
        window = {"frames": 2, "size": 16, "overlap": 1}
        # One temporal resize: windows of 2 frames are the shortest it takes.
        parts["ssr"] = part(config, 2, **window, **options)
    stages = [stage for stage in parts if stage != "text"]
    settings = {"name": name, "frame_rate": 16, "stages": stages}
    return Model(parts=parts, settings=settings)


def tiny_experiment(stage="image", **train) -> Experiment:
    """Return an experiment with the tiny model: 4 steps with batches of 8 clips."""
    video = stage == "base"
    defaults = {"trainable": "temporal"} if video else {}
    defaults |= {"steps": 4, "log_every": 2, "save_every": 2, "ema_decay": 0.9}
    return Experiment(
        name="tiny",
        stage=stage,
        model=unet() if video else unet(temporal=None),
        text=TEXT,
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
    """Return the experiment with other fields of its `TrainConfig`."""
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **train))


def tiny_batch(index: int, frames: int = 4, rows: int = ROWS) -> dict[str, np.ndarray]:
    """Return batch number `index`: random clips and short captions."""
    rng = np.random.default_rng(index)
    tokens = ByteTokenizer().encode([f"clip {rng.integers(99)}" for _ in range(rows)], 8)
    return {
        "video": rng.integers(0, 256, (rows, frames, 8, 8, 3), np.uint8),
        "tokens": tokens.ids,
        "token_mask": tokens.mask,
        "record": index * rows + np.arange(rows),
    }


def untrained(folder, experiment: Experiment):
    """Write a model folder with untrained parameters, to start a stage from; return its path."""
    # Layers that are initialized to zero would hide those before them.
    params = jax.tree.map(
        lambda leaf: leaf + 0.05 * np.cos(np.arange(leaf.size, dtype="f4")).reshape(leaf.shape),
        jax.device_get(make_objective(experiment).init(jax.random.key(0))),
    )
    parts = {"base": Part(config=experiment.model, params=params["unet"])}
    parts["text"] = Part(config=experiment.text, params=params["text"])
    write_model(folder, Model(parts=parts, settings={"stages": ["base"]}))
    return folder
