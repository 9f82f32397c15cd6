r"""The demo: a whole Lumiere small enough for a laptop, on the synthetic captioned set.

python -m lumiere_jax.train --config=configs/demo.py:image --workdir=runs/demo
python -m lumiere_jax.train --config=configs/demo.py:base --workdir=runs/demo
python -m lumiere_jax.sample --model=runs/demo --prompt="a red circle bounces on a dark background"

Stages: `image` trains the image U-Net and its byte-level T5 on single frames, `base` the temporal
half on clips of 80 frames of 32×32 with everything else frozen. Clips are rendered while training
unless --config.data.source=records:<folder> names prepared ones.
"""

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.models import T5Config, TemporalConfig, UNetConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig

TEXT = T5Config.preset("demo")
PROMPTS = (
    "a red circle moves right on a dark background",
    "a blue square spins on a light background",
    "a green star grows on a dark background",
    "a yellow triangle bounces on a light background",
)


def unet(temporal: TemporalConfig | None) -> UNetConfig:
    """Three levels, 32/16/8 pixels and 80/40/20 frames; text is read at the two coarser ones."""
    return UNetConfig(
        channels=(16, 32, 64),
        blocks=(1, 1, 2),
        attention=(False, True, True),
        head_dim=16,
        groups=8,
        activation="silu",
        text_dim=TEXT.width,
        pool_heads=4,
        text_mask=True,
        temporal=temporal,
    )


def get_config(stage: str = "base") -> ConfigDict:
    """The configuration of a stage: "image" or "base"."""
    stages = {"image": image, "base": base}
    if stage not in stages:
        raise ValueError(f"configs/demo.py has no stage {stage!r}; one of {', '.join(stages)}")
    return to_config_dict(stages[stage]())


def image() -> Experiment:
    """All of the image U-Net and of the text encoder, on single frames."""
    return Experiment(
        name="lumiere-demo",
        stage="image",
        model=unet(temporal=None),
        text=TEXT,
        diffusion=DiffusionConfig(prediction="velocity"),
        sampler=SamplerConfig(sampler="dpm_solver", steps=20, guidance_scale=2.0),
        data=DataConfig(frames=80, size=32, image_frames=True, batch_size=32, text_length=64),
        optimizer=OptimizerConfig(learning_rate=1e-3, schedule="cosine", warmup_steps=50),
        train=TrainConfig(
            steps=2500, ema_decay=0.995, log_every=25, save_every=500, sample_prompts=PROMPTS
        ),
    )


def base() -> Experiment:
    """The temporal half alone, on whole clips."""
    return Experiment(
        name="lumiere-demo",
        stage="base",
        model=unet(TemporalConfig(head_dim=16)),
        text=TEXT,
        diffusion=DiffusionConfig(prediction="velocity"),
        sampler=SamplerConfig(sampler="dpm_solver", steps=20, guidance_scale=2.0),
        data=DataConfig(frames=80, size=32, batch_size=4, text_length=64),
        optimizer=OptimizerConfig(learning_rate=1e-3, schedule="cosine", warmup_steps=20),
        train=TrainConfig(
            steps=500,
            trainable="temporal",
            ema_decay=0.99,
            log_every=10,
            save_every=250,
            sample_prompts=PROMPTS,
        ),
    )
