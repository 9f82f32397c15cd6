r"""Lumiere at the paper's size: 80 frames at 16 a second, 128×128 pixels, then 1024×1024.

python -m lumiere_jax.train --config=configs/lumiere.py:image       --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:base        --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:conditional --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:ssr_image   --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:ssr         --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:style       --workdir=runs/lumiere \
    --config.data.source=images:style

The geometry is the paper's (section 3); it names neither widths nor schedules. The image model has
Imagen's: width 512, multipliers 1-2-3-4, three blocks a level, attention at 32 and 16 pixels. Its
temporal half halves and doubles time with space: 80/40/20/10 frames. The super-resolution has
IF-II's form: most blocks at low resolution, attention at the coarsest level and to the text alone,
here behind a stem that folds 4×4 pixels. Batch sizes, steps and learning rates are ours.

Clips come from `python -m lumiere_jax.prepare`, their T5-XXL embeddings (and those of the pictures
of a style) from `python -m lumiere_jax.embed_text`. Every stage is a row of `training/stages.py`.

Counted by `python -m benchmarks.sizes --config=configs/lumiere.py:base`, forward pass of one clip:

    stage         spatial     temporal    forward pass                    parameters in bfloat16
    image         2186.8 M       -          5.72 TFLOP of   1×128×128      4.07 GiB
    base          2186.8 M    1010.1 M    361.6  TFLOP of  80×128×128      5.95 GiB
    conditional   2186.8 M    1010.2 M    361.6  TFLOP of  80×128×128      5.95 GiB
    style         2186.8 M       -          5.72 TFLOP of   1×128×128      4.07 GiB
    ssr_image      849.7 M       -          6.55 TFLOP of   1×1024×1024    1.58 GiB
    ssr            849.7 M     276.5 M    147.3  TFLOP of  16×1024×1024    2.10 GiB

A step of `ssr_image` or `ssr` runs on crops of 256×256, a sixteenth of that. Time and quality are
not measured: nobody has trained these here.
"""

import dataclasses

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig, MaskMixture
from lumiere_jax.models import TemporalConfig, UNetConfig
from lumiere_jax.parallel import MeshConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig
from lumiere_jax.training.stages import TrainingStage, find_stage
from lumiere_jax.training.super_resolution import SuperResolutionConfig

T5_XXL = 4096  # width of its embeddings
BASE = UNetConfig(
    channels=(512, 1024, 1536, 2048),
    blocks=(3, 3, 3, 3),
    attention=(False, False, True, True),
    activation="silu",
    text_dim=T5_XXL,
    cross_dim=1024,
    text_mask=True,
)
SUPER_RESOLUTION = UNetConfig(
    channels=(256, 512, 768, 1024),
    blocks=(2, 4, 6, 6),
    attention=(False, False, False, True),
    self_attention=False,
    activation="silu",
    text_dim=T5_XXL,
    cross_dim=1024,
    text_mask=True,
    low_resolution=True,
    augmentation=True,
    patch=4,
)
TEMPORAL = TemporalConfig(attention_layers=4)
# SSR keeps the frame rate: its windows of 16 frames are not resized in time.
SSR_TEMPORAL = TemporalConfig(attention_layers=2, resize=(False, False, False))

STEPS = {
    "image": 1_000_000,
    "base": 200_000,
    "conditional": 50_000,
    "style": 1000,
    "ssr_image": 500_000,
    "ssr": 100_000,
}
BATCH = {
    "image": 2048,
    "base": 256,
    "conditional": 256,
    "style": 8,
    "ssr_image": 512,
    "ssr": 64,
}


def get_config(stage: str = "base") -> ConfigDict:
    """Return the configuration of a stage, such as "base"."""
    return to_config_dict(experiment(find_stage(stage, "configs/lumiere.py")))


def experiment(stage: TrainingStage) -> Experiment:
    """Return the experiment of a stage."""
    refines = stage.role == "ssr"
    return Experiment(
        name="lumiere",
        stage=stage.name,
        model=super_resolution(stage) if refines else base(stage),
        # 64 / 128: at twice the pixels per side the same noise hides less.
        diffusion=DiffusionConfig(shift=1 if refines else 0.5, prediction="velocity"),
        sampler=SamplerConfig(
            sampler="ddim",
            steps=32 if refines else 50,
            guidance_scale=4.0 if refines else 7.5,
            threshold="dynamic",
        ),
        super_resolution=SuperResolutionConfig(factor=8) if refines else None,
        data=data(stage),
        optimizer=OptimizerConfig(
            learning_rate=1e-4, warmup_steps=min(10_000, STEPS[stage.name] // 10)
        ),
        train=TrainConfig(
            steps=STEPS[stage.name],
            trainable=stage.trainable,
            ema_decay=0.99 if stage.name == "style" else 0.9999,
            save_every=min(5000, STEPS[stage.name] // 10),
            remat=True,
        ),
        mesh=MeshConfig(fsdp=-1, replica=1),
    )


def base(stage: TrainingStage) -> UNetConfig:
    """Return the U-Net of 128 pixels: of images, or with the temporal half."""
    observed = stage.name == "conditional"
    return dataclasses.replace(BASE, temporal=TEMPORAL if stage.video else None, observed=observed)


def super_resolution(stage: TrainingStage) -> UNetConfig:
    """Return the U-Net of 1024 pixels: of images, or with the temporal half."""
    return dataclasses.replace(SUPER_RESOLUTION, temporal=SSR_TEMPORAL if stage.video else None)


def data(stage: TrainingStage) -> DataConfig:
    """Return the clips of a stage; the super-resolutions train on crops of 16 frames or one."""
    size = 1024 if stage.role == "ssr" else 128
    options = {} if stage.video else {"image_frames": True}
    if stage.role == "ssr":
        options |= {"crop": 256} | ({"segment": 16} if stage.video else {})
    if stage.name == "conditional":
        options |= {"masks": MaskMixture()}
    return DataConfig(
        source="images:style" if stage.name == "style" else f"records:data/clips_{size}",
        frames=80,
        size=size,
        batch_size=BATCH[stage.name],
        text="embeddings",
        text_length=128,
        workers=8,
        **options,
    )
