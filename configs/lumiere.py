r"""Lumiere at the paper's size: 80 frames at 16 a second, 128×128 pixels, then 1024×1024.

python -m lumiere_jax.train --config=configs/lumiere.py:image     --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:base      --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:ssr_image --workdir=runs/lumiere
python -m lumiere_jax.train --config=configs/lumiere.py:ssr       --workdir=runs/lumiere

The geometry is the paper's (section 3); it names neither widths nor schedules. The image model has
Imagen's: width 512, multipliers 1-2-3-4, three blocks a level, attention at 32 and 16 pixels. Its
temporal half halves and doubles time with space: 80/40/20/10 frames. The super-resolution has
IF-II's form: most blocks at low resolution, attention at the coarsest level and to the text alone,
here behind a stem that folds 4×4 pixels. Clips and their T5-XXL embeddings come from
`python -m lumiere_jax.prepare` and `python -m lumiere_jax.embed_text`.

Counted by `python -m benchmarks.sizes --config=configs/lumiere.py:base`, forward pass of one clip:

    stage       spatial     temporal    forward pass                    weights in bfloat16
    image       2186.8 M       -          5.72 TFLOP of   1×128×128      4.07 GiB
    base        2186.8 M    1010.1 M    361.6  TFLOP of  80×128×128      5.95 GiB
    ssr_image    849.7 M       -          6.55 TFLOP of   1×1024×1024    1.58 GiB
    ssr          849.7 M     276.5 M    147.3  TFLOP of  16×1024×1024    2.10 GiB

A step of `ssr_image` or `ssr` sees crops of 256×256, a sixteenth of that. Time and quality are not
measured: nobody has trained these here.
"""

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.models import TemporalConfig, UNetConfig
from lumiere_jax.parallel import MeshConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig
from lumiere_jax.training.super_resolution import SuperResolutionConfig

T5_XXL = 4096  # width of its embeddings
FRAMES = 80


def get_config(stage: str = "base") -> ConfigDict:
    """The configuration of a stage: "image", "base", "ssr_image" or "ssr"."""
    stages = {"image": image, "base": base, "ssr_image": ssr_image, "ssr": ssr}
    if stage not in stages:
        raise ValueError(f"configs/lumiere.py has no stage {stage!r}; one of {', '.join(stages)}")
    return to_config_dict(stages[stage]())


def image() -> Experiment:
    """The image model, all of it, on single frames."""
    return _base_model(
        "image",
        None,
        data=_data(128, image_frames=True, batch_size=2048),
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000),
        train=_train(steps=1_000_000, trainable="."),
    )


def base() -> Experiment:
    """STUNet: the temporal half alone, the image model frozen."""
    return _base_model(
        "base",
        TemporalConfig(attention_layers=4),
        data=_data(128, batch_size=256),
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000),
        train=_train(steps=200_000, trainable="temporal"),
    )


def ssr_image() -> Experiment:
    """Image super-resolution ×8, all of it, on crops of single frames."""
    return _super_resolution(
        "ssr_image",
        None,
        data=_data(1024, image_frames=True, crop=256, batch_size=512),
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000),
        train=_train(steps=500_000, trainable="."),
    )


def ssr() -> Experiment:
    """SSR: the temporal half alone, on crops of segments of 16 frames, its window when sampling."""
    return _super_resolution(
        "ssr",
        TemporalConfig(attention_layers=2, resize=(False, False, False)),
        data=_data(1024, segment=16, crop=256, batch_size=64),
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000),
        train=_train(steps=100_000, trainable="temporal"),
    )


def _base_model(stage: str, temporal: TemporalConfig | None, **settings) -> Experiment:
    return Experiment(
        name="lumiere",
        stage=stage,
        model=UNetConfig(
            channels=(512, 1024, 1536, 2048),
            blocks=(3, 3, 3, 3),
            attention=(False, False, True, True),
            activation="silu",
            text_dim=T5_XXL,
            cross_dim=1024,
            text_mask=True,
            temporal=temporal,
        ),
        # 64 / 128: at twice the pixels a side the same noise hides less.
        diffusion=DiffusionConfig(shift=0.5, prediction="velocity"),
        sampler=SamplerConfig(sampler="ddim", steps=50, guidance_scale=7.5, threshold="dynamic"),
        mesh=MeshConfig(fsdp=-1, replica=1),
        **settings,
    )


def _super_resolution(stage: str, temporal: TemporalConfig | None, **settings) -> Experiment:
    return Experiment(
        name="lumiere",
        stage=stage,
        model=UNetConfig(
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
            temporal=temporal,
        ),
        diffusion=DiffusionConfig(prediction="velocity"),
        sampler=SamplerConfig(sampler="ddim", steps=32, guidance_scale=4.0, threshold="dynamic"),
        super_resolution=SuperResolutionConfig(factor=8, sampling_augmentation=0.2),
        mesh=MeshConfig(fsdp=-1, replica=1),
        **settings,
    )


def _data(size: int, **settings) -> DataConfig:
    return DataConfig(
        source=f"records:data/clips_{size}",
        frames=FRAMES,
        size=size,
        text="embeddings",
        text_length=128,
        workers=8,
        **settings,
    )


def _train(**settings) -> TrainConfig:
    return TrainConfig(ema_decay=0.9999, save_every=5000, remat=True, **settings)
