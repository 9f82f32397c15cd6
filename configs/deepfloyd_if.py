r"""A video model from DeepFloyd IF's image weights (stage I: M, L and XL).

    python -m lumiere_jax.convert --from=diffusers --path=IF-I-XL-v1.0 --output=models/if-xl
    python -m lumiere_jax.train --config=configs/deepfloyd_if.py:xl_image --workdir=runs/if \
        --config.train.start_from=models/if-xl --config.data.source=records:clips
    python -m lumiere_jax.train --config=configs/deepfloyd_if.py:xl_base --workdir=runs/if \
        --config.data.source=records:clips

The name is <size>_<stage>: m, l or xl, and image or base. `image` fine-tunes the image model for
128 pixels (IF was trained at 64; with --config.data.size=64 leave it out and start `base` from the
converted model). `base` trains the temporal half alone on 80 frames; IF's weights stay frozen.

IF sees all 77 tokens of T5-XXL, padding included. They are read from the clips, where
`python -m lumiere_jax.embed_text` puts them.

Counted by `python -m benchmarks.sizes --config=configs/deepfloyd_if.py:xl_base`, for one clip of
80×128×128:

    size   spatial     temporal    forward pass   weights in bfloat16
    m       371.6 M      99.6 M     59.6 TFLOP     0.88 GiB
    l       935.4 M     276.6 M    156.9 TFLOP     2.26 GiB
    xl     4304.7 M    1338.2 M    725.2 TFLOP    10.5  GiB

Time and quality are not measured: nobody has trained these here.
"""

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.models import TemporalConfig, UNetConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig

# Channels of the first level and width of the projected text. M's and L's first level is inferred
# from their published parameter counts.
SIZES = {"m": (192, 768), "l": (320, 1280), "xl": (704, 2816)}
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


def unet(size: str, temporal: TemporalConfig | None) -> UNetConfig:
    """IF-I of that size; its attention reads text at the three coarser levels."""
    base, cross = SIZES[size]
    return UNetConfig(
        channels=tuple(base * factor for factor in (1, 2, 3, 4)),
        blocks=(3, 3, 3, 3),
        attention=(False, True, True, True),
        out_channels=6,
        text_dim=4096,
        cross_dim=cross,
        temporal=temporal,
    )


def get_config(name: str = "xl_base") -> ConfigDict:
    """The configuration called <size>_<stage>, such as "xl_base"."""
    size, _, stage = name.partition("_")
    if size not in SIZES or stage not in ("image", "base"):
        raise ValueError(
            f"configs/deepfloyd_if.py has no {name!r}: take m, l or xl, then _image or _base"
        )
    image = stage == "image"
    return to_config_dict(
        Experiment(
            name=f"lumiere-if-{size}",
            stage=stage,
            model=unet(size, None if image else TemporalConfig()),
            diffusion=DIFFUSION,
            sampler=SAMPLER,
            data=DataConfig(
                source="records:clips",
                frames=80,
                size=128,
                image_frames=image,
                batch_size=256 if image else 64,
                text="embeddings",
                text_length=77,
            ),
            optimizer=OptimizerConfig(
                name="adafactor", learning_rate=1e-4, warmup_steps=500 if image else 10_000
            ),
            train=TrainConfig(
                steps=5_000 if image else 200_000,
                trainable="." if image else "temporal",
                remat=True,
                text_dropout=0.1,
            ),
        )
    )
