r"""A video model from DeepFloyd IF's image weights (stage I: M, L and XL; stage II: M and L).

    python -m lumiere_jax.convert --from=diffusers --path=IF-I-XL-v1.0 --output=models/if-xl
    python -m lumiere_jax.train --config=configs/deepfloyd_if.py:xl_image --workdir=runs/if \
        --config.train.start_from=models/if-xl --config.data.source=records:clips
    python -m lumiere_jax.train --config=configs/deepfloyd_if.py:xl_base --workdir=runs/if \
        --config.data.source=records:clips

The name is <size>_<stage>, such as m_image or l_ssr; every stage is a row of `training/stages.py`.
`image` fine-tunes the image model for 128 pixels (IF was trained at 64; with --config.data.size=64
leave it out and start `base` from the converted model). `base` trains the temporal half alone on 80
frames; IF's parameters stay frozen. `conditional` goes on from it with masks of observed pixels,
`style` trains the image model on a few pictures. `ssr_image` and `ssr` are IF-II, ×4 from
128 to 512 pixels (--config.train.start_from= names the converted IF-II); there is none for xl.

IF sees all 77 tokens of T5-XXL, padding included. They are read from the clips, where
`python -m lumiere_jax.embed_text` puts them.

Counted by `python -m benchmarks.sizes --config=configs/deepfloyd_if.py:xl_base`, forward pass of
one clip (conditional and style of l and xl as of m: hardly more than base, and as image):

    stage            spatial     temporal    forward pass                   parameters in bfloat16
    m_image           371.6 M       -          1.04 TFLOP of   1×128×128     0.69 GiB
    m_base            371.6 M      99.6 M     59.6  TFLOP of  80×128×128     0.88 GiB
    m_conditional     371.6 M      99.7 M     59.6  TFLOP of  80×128×128     0.88 GiB
    m_style           371.6 M       -          1.04 TFLOP of   1×128×128     0.69 GiB
    m_ssr_image       461.0 M       -          4.28 TFLOP of   1×512×512     0.86 GiB
    m_ssr             461.0 M     133.1 M     94.0  TFLOP of  16×512×512     1.11 GiB
    l_image           935.4 M       -          2.65 TFLOP of   1×128×128     1.74 GiB
    l_base            935.4 M     276.6 M    156.9  TFLOP of  80×128×128     2.26 GiB
    l_ssr_image      1183.6 M       -         11.9  TFLOP of   1×512×512     2.20 GiB
    l_ssr            1183.6 M     369.4 M    260.7  TFLOP of  16×512×512     2.89 GiB
    xl_image         4304.7 M       -         11.9  TFLOP of   1×128×128     8.02 GiB
    xl_base          4304.7 M    1338.2 M    725.2  TFLOP of  80×128×128    10.5  GiB

Time and quality are not measured: nobody has trained these here.
"""

import dataclasses

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig, MaskMixture
from lumiere_jax.models import TemporalConfig, UNetConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig
from lumiere_jax.training.stages import TrainingStage, find_stage
from lumiere_jax.training.super_resolution import SuperResolutionConfig

# Channels of the first level of stage I and of stage II. M's and L's of stage I are inferred from
# their published parameter counts; M's of stage II is a guess that gives its published count.
SIZES = {"m": (192, 96), "l": (320, 160), "xl": (704, None)}

MULTIPLIERS = {False: (1, 2, 3, 4), True: (1, 2, 4, 6, 8)}  # of stage I, and of stage II
IMAGE = dict(
    blocks=(3, 3, 3, 3),
    attention=(False, True, True, True),
    out_channels=6,
    text_dim=4096,
)
SUPER_RESOLUTION = dict(
    blocks=(2, 2, 3, 5, 5),
    attention=(False, False, False, True, True),
    self_attention=False,
    out_channels=6,
    text_dim=4096,
    block_time_activation=False,
    embedding_activation=True,
    residual_scale=1.41423,
    low_resolution=True,
    augmentation=True,
)
# IF's table of 1000 steps, noise prediction, and a learned variance that the inflated model keeps
# in its output but does not sample with.
DIFFUSION = DiffusionConfig(schedule="discrete_cosine", prediction="noise")
SAMPLER = SamplerConfig(
    sampler="ddpm",
    spacing="smart100",
    guidance_scale=7.0,
    threshold="dynamic",
    quantile=0.95,
    ceiling=1.5,
)
REFINER = dataclasses.replace(SAMPLER, spacing="smart50", guidance_scale=4.0, ceiling=1.0)

STEPS = {
    "image": 5000,
    "base": 200_000,
    "conditional": 50_000,
    "style": 1000,
    "ssr_image": 5000,
    "ssr": 100_000,
}
BATCH = {"image": 256, "base": 64, "conditional": 64, "style": 8, "ssr_image": 128, "ssr": 32}


def get_config(name: str = "xl_base") -> ConfigDict:
    """Return the configuration called <size>_<stage>, such as "xl_base"."""
    size, _, stage = name.partition("_")
    if size not in SIZES:
        raise ValueError(
            f"configs/deepfloyd_if.py has no {name!r}: take {', '.join(SIZES)}, then _ and a stage"
        )
    return to_config_dict(experiment(size, find_stage(stage, f"configs/deepfloyd_if.py:{size}")))


def experiment(size: str, stage: TrainingStage) -> Experiment:
    """Return the experiment of a size and stage."""
    refines = stage.role == "ssr"
    return Experiment(
        name=f"lumiere-if-{size}",
        stage=stage.name,
        model=unet(size, stage),
        diffusion=DIFFUSION,
        sampler=REFINER if refines else SAMPLER,
        super_resolution=SuperResolutionConfig(
            factor=4, upsampling="align_corners", sampling_augmentation=0.25
        )
        if refines
        else None,
        data=data(stage),
        optimizer=OptimizerConfig(
            name="adafactor", learning_rate=1e-4, warmup_steps=min(10_000, STEPS[stage.name] // 10)
        ),
        train=TrainConfig(
            steps=STEPS[stage.name],
            trainable=stage.trainable,
            remat=True,
        ),
    )


def unet(size: str, stage: TrainingStage) -> UNetConfig:
    """Return IF-I or IF-II of a size, with the temporal half in a video stage."""
    refines = stage.role == "ssr"
    base = SIZES[size][refines]
    if base is None:
        raise ValueError(f"configs/deepfloyd_if.py: IF-II has no size {size!r}; use l_{stage.name}")
    channels = tuple(base * factor for factor in MULTIPLIERS[refines])
    temporal = TemporalConfig() if stage.video else None
    if refines and stage.video:  # SSR keeps the frame rate
        temporal = TemporalConfig(resize=(False,) * (len(channels) - 1))
    return UNetConfig(
        **(SUPER_RESOLUTION if refines else IMAGE),
        channels=channels,
        cross_dim=channels[-1],
        time_embedding_dim=channels[-1],
        temporal=temporal,
        observed=stage.name == "conditional",
    )


def data(stage: TrainingStage) -> DataConfig:
    """Return the clips of a stage; the super-resolutions train on crops of 16 frames or one."""
    refines = stage.role == "ssr"
    options = {} if stage.video else {"image_frames": True}
    if refines:
        options |= {"crop": 256} | ({"segment": 16} if stage.video else {})
    if stage.name == "conditional":
        options |= {"masks": MaskMixture()}
    return DataConfig(
        source="images:style" if stage.name == "style" else "records:clips",
        frames=80,
        size=512 if refines else 128,
        batch_size=BATCH[stage.name],
        text="embeddings",
        text_length=77,
        **options,
    )
