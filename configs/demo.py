r"""The demo: all stages of Lumiere, small enough for a laptop, on the synthetic captioned set.

python -m lumiere_jax.train --config=configs/demo.py:image --workdir=runs/demo
python -m lumiere_jax.train --config=configs/demo.py:base --workdir=runs/demo
python -m lumiere_jax.train --config=configs/demo.py:ssr_image --workdir=runs/demo
python -m lumiere_jax.train --config=configs/demo.py:ssr --workdir=runs/demo
python -m lumiere_jax.sample --model=runs/demo --prompt="a red circle bounces on a dark background"

Hardware: two CPU cores, as two devices; about 2 GB of memory. There the stages ran at 0.7 to 1.4
steps a second (image), 0.5 to 1.5 (the others; with experiments beside them): three and a half
hours for the shipped parameters, which had about these numbers of steps, not all of them with these
settings. Result: data/demo/README.md; what was tried: docs/notes/training_the_demo.md.

Stages: `image` trains the image U-Net and its small T5 on single frames, `base` the temporal
half on clips of 16 frames of 32×32, and with it the layers that read text (a deviation, see
TEXT_LAYERS); all other parameters are frozen. Clips are rendered during training unless
--config.data.source=records:<folder> names prepared ones.

`conditional` starts from `base`: the model also gets an observed video and its mask, for
image-to-video, inpainting, outpainting, cinemagraphs and continuations. `style` trains the image
half on the style of a few pictures: --config.data.source=images:<folder>.

`ssr_image` and `ssr` are super-resolution, 32 → 128 pixels. They read no text, so that they can be
trained before or after the other stages. They predict the clean clip, because the stem folds 4×4
pixels into fewer channels than their noise has; for the same reason they are cheap.
"""

import dataclasses
import pathlib

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig, MaskMixture
from lumiere_jax.models import T5Config, TemporalConfig, UNetConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig
from lumiere_jax.training.super_resolution import SuperResolutionConfig

TEXT = T5Config.preset("demo")
# Tokens are whole words: an encoder trained from scratch learns them much sooner than spelling.
WORDS = {
    "tokenizer": str(pathlib.Path(__file__).resolve().parent.parent / "data/words/spiece.model"),
    "text_length": 32,
}
# A clip shows one pass of a synthetic motion, however many frames it has. Lumiere's 80 are five
# times the work: with 80, half an hour on two CPU cores was too short to learn motion.
FRAMES, FRAME_RATE = 16, 8.0
PROMPTS = (
    "a red circle moves right on a dark background",
    "a blue square spins on a light background",
    "a green star grows on a dark background",
    "a yellow triangle bounces on a light background",
)


# With the velocity's loss weights and times at high noise, where errors are large and hardly
# anything can be learnt, shapes stay round and directions have no effect
# (docs/notes/training_the_demo.md).
DIFFUSION = DiffusionConfig(prediction="clean", weighting="min_snr", min_snr_gamma=5.0)
SAMPLER = SamplerConfig(sampler="dpm_solver", steps=20, guidance_scale=2.0, time_shift=0.4)
# Content that 16 frames share remains visible at 16 times the noise variance of a single frame's.
# The floor keeps loss weight at high noise for motion, half of which is decided above time 0.93.
VIDEO_DIFFUSION = dataclasses.replace(DIFFUSION, min_snr_gamma=1.0, snr_floor=0.05, time_shift=0.25)
VIDEO_SAMPLER = dataclasses.replace(SAMPLER, time_shift=0.25)
# A departure from Lumiere, which freezes all of the image model. It may be unnecessary since the
# image stage's loss has min-SNR weights and its samples respond to directions: not tried. The time
# projections read the pooled text. `--config.train.trainable=temporal` is Lumiere's choice.
TEXT_LAYERS = "temporal|text|/attention/|residual/time"
# Not in the paper either: without the pattern the finished model did not distinguish "left" and
# "right"; after 2,000 steps with it, it does (docs/notes/training_the_demo.md).
TEMPORAL = TemporalConfig(head_dim=32, pattern=(4, 4, 4))
# Updates of matrices are four times as large as AdamW's at this learning rate.
MUON = {"name": "muon", "matrix_rms": 0.8, "beta2": 0.99, "schedule": "cosine"}


def unet(temporal: TemporalConfig | None) -> UNetConfig:
    """Return a U-Net on patches of 2×2 pixels, with text attention at the coarsest of three levels.

    The levels are 16×16 of 16 frames, 8×8 of 8, and 4×4 of 4. It predicts the clean clip: the noise
    of a patch would need a large part of 32 channels.

    Args:
      temporal: inflation; None for the image model.
    """
    return UNetConfig(
        channels=(32, 64, 128),
        blocks=(1, 1, 1),
        attention=(False, False, True),
        head_dim=32,
        groups=8,
        activation="silu",
        text_dim=TEXT.width,
        pool_heads=4,
        text_mask=True,
        patch=2,
        temporal=temporal,
    )


def get_config(stage: str = "base") -> ConfigDict:
    """Return the configuration of a stage, such as "base"."""
    every = (image, base, conditional, style, ssr_image, ssr)
    stages = {stage.__name__: stage for stage in every}
    if stage not in stages:
        raise ValueError(f"configs/demo.py has no stage {stage!r}; one of {', '.join(stages)}")
    return to_config_dict(stages[stage]())


def image() -> Experiment:
    """Train all of the image U-Net and of the text encoder on single frames."""
    return Experiment(
        name="lumiere-demo",
        frame_rate=FRAME_RATE,
        stage="image",
        model=unet(temporal=None),
        text=TEXT,
        diffusion=DIFFUSION,
        sampler=SAMPLER,
        data=DataConfig(frames=FRAMES, size=32, image_frames=True, batch_size=64, **WORDS),
        optimizer=OptimizerConfig(**MUON, learning_rate=1.5e-3, warmup_steps=50),
        train=TrainConfig(
            steps=4200,
            ema_decay=0.998,
            log_every=50,
            save_every=600,
            evaluate_every=1200,
            sample_prompts=PROMPTS,
        ),
    )


def base() -> Experiment:
    """Train the temporal half and the layers that read text on whole clips."""
    return Experiment(
        name="lumiere-demo",
        frame_rate=FRAME_RATE,
        stage="base",
        model=unet(TEMPORAL),
        text=TEXT,
        diffusion=VIDEO_DIFFUSION,
        sampler=VIDEO_SAMPLER,
        data=DataConfig(frames=FRAMES, size=32, batch_size=8, **WORDS),
        optimizer=OptimizerConfig(**MUON, learning_rate=5e-4, warmup_steps=50),
        train=TrainConfig(
            steps=900,
            trainable=TEXT_LAYERS,
            ema_decay=0.996,
            log_every=20,
            save_every=200,
            evaluate_every=900,
            sample_prompts=PROMPTS,
        ),
    )


def conditional() -> Experiment:
    """Train the base further, with the convolution that reads the observed video."""
    start = base()
    return dataclasses.replace(
        start,
        stage="conditional",
        model=dataclasses.replace(start.model, observed=True),
        # Nothing is observed in 4 of 7 clips, so that the model still makes videos from text alone.
        data=dataclasses.replace(start.data, masks=MaskMixture(none=1.2)),
        train=dataclasses.replace(start.train, steps=6500, trainable=f"{TEXT_LAYERS}|observation"),
    )


def style() -> Experiment:
    """Train a low-rank difference to the image U-Net on a few pictures of a style."""
    start = image()
    return dataclasses.replace(
        start,
        stage="style",
        data=DataConfig(source="images:style", size=32, image_frames=True, batch_size=8, **WORDS),
        optimizer=OptimizerConfig(learning_rate=3e-4, warmup_steps=10),
        train=TrainConfig(
            steps=500,
            trainable="^low_rank/",
            low_rank=4,
            ema_decay=0.95,
            log_every=10,
            save_every=100,
            sample_prompts=PROMPTS,
        ),
    )


def super_resolution(stage: str, temporal: TemporalConfig | None, **settings) -> Experiment:
    """Return a stage of super-resolution ×4, in IF-II's form behind a stem that folds 4×4 pixels.

    Args:
      stage: name of the stage.
      temporal: inflation; None for the image stage.
      **settings: other fields of the experiment.
    """
    return Experiment(
        name="lumiere-demo",
        frame_rate=FRAME_RATE,
        stage=stage,
        model=UNetConfig(
            channels=(48, 64),
            blocks=(1, 2),
            attention=(False, False),
            self_attention=False,
            head_dim=16,
            groups=8,
            activation="silu",
            low_resolution=True,
            augmentation=True,
            patch=4,
            bypass=True,
            temporal=temporal,
        ),
        diffusion=DiffusionConfig(prediction="clean"),
        sampler=SamplerConfig(sampler="dpm_solver", steps=8),
        super_resolution=SuperResolutionConfig(
            factor=4, augmentation=(0.0, 0.3), sampling_augmentation=0.05
        ),
        **settings,
    )


def ssr_image() -> Experiment:
    """Train all of the image super-resolution on crops of single frames."""
    return super_resolution(
        "ssr_image",
        None,
        data=DataConfig(frames=FRAMES, size=128, image_frames=True, crop=64, batch_size=16),
        optimizer=OptimizerConfig(learning_rate=2e-3, schedule="cosine", warmup_steps=50),
        train=TrainConfig(
            steps=1000, ema_decay=0.995, log_every=25, save_every=250, evaluate_every=500
        ),
    )


def ssr() -> Experiment:
    """Train the temporal half of super-resolution alone, on segments of 8 frames."""
    return super_resolution(
        "ssr",
        TemporalConfig(head_dim=16, resize=(False,)),
        data=DataConfig(frames=FRAMES, size=128, segment=8, crop=64, batch_size=4),
        optimizer=OptimizerConfig(learning_rate=1e-3, schedule="cosine", warmup_steps=20),
        train=TrainConfig(
            steps=300,
            trainable="temporal",
            ema_decay=0.99,
            log_every=10,
            save_every=100,
            evaluate_every=100,
        ),
    )
