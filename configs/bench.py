r"""The training step of the benchmarks: a STUNet of half a billion parameters.

python -m lumiere_jax.train --config=configs/bench.py:base --workdir=runs/bench
python -m benchmarks.speed --config=configs/bench.py:base

Channels 256-512-768-1024, two blocks per level, spatial and text attention at the two coarsest
levels, temporal attention at the coarsest, 80/40/20/10 frames. The clips are those of the synthetic
set, rendered while they are read, so no data has to be prepared. `image` is the same model before
inflation.

Counted by `python -m benchmarks.sizes --config=configs/bench.py:base`: 421.8 M spatial and 134.3 M
temporal parameters, 1.04 GiB in bfloat16; a forward pass is 68.97 TFLOP for a clip of 80×128×128,
1.14 TFLOP for one frame of `image`.
"""

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.models import T5Config, TemporalConfig, UNetConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig

TEXT = T5Config.preset("demo")


def get_config(stage: str = "base") -> ConfigDict:
    """Return the configuration of a stage: "image" or "base"."""
    stages = {"image": image, "base": base}
    if stage not in stages:
        raise ValueError(f"configs/bench.py has no stage {stage!r}; one of {', '.join(stages)}")
    return to_config_dict(stages[stage]())


def image() -> Experiment:
    """Train all of the image model on single frames."""
    return _experiment(
        "image", None, DataConfig(image_frames=True, batch_size=80, text_length=128), trainable="."
    )


def base() -> Experiment:
    """Train the temporal half alone, on one clip of 80×128×128 per step.

    Without a run of `image` in the same folder, pass --config.train.start_from, or train all
    parameters with --config.train.trainable=. (a dot).
    """
    return _experiment(
        "base",
        TemporalConfig(),
        DataConfig(batch_size=1, text_length=128),
        trainable="temporal",
    )


def _experiment(
    stage: str, temporal: TemporalConfig | None, data: DataConfig, trainable: str
) -> Experiment:
    return Experiment(
        name="bench",
        stage=stage,
        model=UNetConfig(
            channels=(256, 512, 768, 1024),
            blocks=(2, 2, 2, 2),
            attention=(False, False, True, True),
            activation="silu",
            text_dim=TEXT.width,
            cross_dim=1024,
            pool_heads=4,
            text_mask=True,
            temporal=temporal,
        ),
        text=TEXT,
        diffusion=DiffusionConfig(shift=0.5, prediction="velocity"),
        data=data,
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=100),
        train=TrainConfig(steps=100, log_every=10, save_every=100, trainable=trainable),
    )
