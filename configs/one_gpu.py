r"""Text to video on one card of 24 GB, from your own captioned clips, in about a day.

python -m lumiere_jax.train --config=configs/one_gpu.py:64_image       --workdir=runs/one
python -m lumiere_jax.train --config=configs/one_gpu.py:64_base        --workdir=runs/one
python -m lumiere_jax.train --config=configs/one_gpu.py:64_conditional --workdir=runs/one
python -m lumiere_jax.train --config=configs/one_gpu.py:64_style       --workdir=runs/one \
    --config.data.source=images:style

Lumiere's recipe at a small width: an image model from scratch, then its temporal half alone, 80
frames at 16 a second in one pass (80/40/20/10 frames), then the conditional fine-tuning for
image-to-video, inpainting and cinemagraphs. 128×128 pixels go on from there in another day:

python -m lumiere_jax.train --config=configs/one_gpu.py:128_image --workdir=runs/one_128 \
    --config.train.start_from=runs/one/image
python -m lumiere_jax.train --config=configs/one_gpu.py:128_base  --workdir=runs/one_128

Clips come from `python -m lumiere_jax.prepare` (80 frames of 64×64 to data/clips_64, of 128×128 to
data/clips_128), their embeddings by T5 v1.1 large from `python -m lumiere_jax.embed_text`; the
guide is docs/training.md.

Counted by `python -m benchmarks.sizes --config=configs/one_gpu.py:64_base`, forward pass of one
clip, and an estimate of the hours: FLOPs of all steps (3 forward passes an image step, 3.25 a step
of the temporal half with rematerialisation) at 60 TFLOP/s, a third of the peak of a card of 165:

    stage             spatial     temporal    forward pass                 parameters in bfloat16
    64_image          109.7 M       -         0.0713 TFLOP of   1×64×64     0.204 GiB
    64_base           109.7 M      33.6 M     4.30   TFLOP of  80×64×64     0.267 GiB
    64_conditional    109.7 M      33.6 M     4.31   TFLOP of  80×64×64     0.267 GiB
    128_image         109.7 M       -         0.289  TFLOP of   1×128×128   0.204 GiB
    128_base          109.7 M      33.6 M     17.3   TFLOP of  80×128×128   0.267 GiB

    hours, estimated    image    base    conditional
    64                    10      12         2
    128                    5      13         3

Neither time nor quality has been measured: nobody has trained these here.
"""

import dataclasses
import re

from ml_collections import ConfigDict

from lumiere_jax.diffusion import DiffusionConfig, SamplerConfig
from lumiere_jax.input_pipeline import DataConfig, MaskMixture
from lumiere_jax.models import TemporalConfig, UNetConfig
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig
from lumiere_jax.training.stages import TrainingStage, find_stage

T5_LARGE = 1024  # width of its embeddings
MODEL = UNetConfig(
    channels=(128, 256, 384, 512),
    blocks=(2, 2, 2, 2),
    attention=(False, False, True, True),
    activation="silu",
    text_dim=T5_LARGE,
    cross_dim=512,
    pool_heads=16,
    text_mask=True,
)
TEMPORAL = TemporalConfig(attention_layers=2)
SIZES = ("64", "128")
STAGES = ("image", "base", "conditional", "style")
STEPS = {
    "64": {"image": 80_000, "base": 12_000, "conditional": 2_000, "style": 1_000},
    "128": {"image": 20_000, "base": 6_000, "conditional": 1_500, "style": 1_000},
}
# Images, or clips, a step; `accumulate` computes them in as many parts.
BATCH = {"64": {"image": 128, "base": 16}, "128": {"image": 64, "base": 8}}
AT_A_TIME = {"64": {"image": 64, "base": 4}, "128": {"image": 16, "base": 1}}


def get_config(name: str = "64_base") -> ConfigDict:
    """Return the configuration of a size and a stage, such as "64_base".

    Raises:
      ValueError: no such size or stage.
    """
    match = re.fullmatch(r"(\d+)_(\w+)", name)
    if match is None or match[1] not in SIZES:
        raise ValueError(
            f"configs/one_gpu.py has no {name!r}: take {', '.join(SIZES)} and a stage, "
            "as in 64_base"
        )
    size, stage = match.groups()
    if stage not in STAGES:
        raise ValueError(
            f"configs/one_gpu.py has no stage {stage!r}; one of {', '.join(STAGES)}, as in 64_base"
        )
    return to_config_dict(experiment(size, find_stage(stage, "configs/one_gpu.py")))


def experiment(size: str, stage: TrainingStage) -> Experiment:
    """Return the experiment of a stage at a size in pixels."""
    kind = "base" if stage.video else "image"
    batch, parts = BATCH[size][kind], BATCH[size][kind] // AT_A_TIME[size][kind]
    steps, styled = STEPS[size][stage.name], stage.name == "style"
    return Experiment(
        name=f"one_gpu_{size}",
        stage=stage.name,
        model=dataclasses.replace(
            MODEL,
            temporal=TEMPORAL if stage.video else None,
            observed=stage.name == "conditional",
        ),
        # 64 / 128: at twice the pixels per side the same noise hides less.
        diffusion=DiffusionConfig(shift=64 / int(size), prediction="velocity"),
        sampler=SamplerConfig(sampler="dpm_solver", steps=30, guidance_scale=6.0),
        data=DataConfig(
            source="images:style" if styled else f"records:data/clips_{size}",
            frames=80,
            size=int(size),
            batch_size=8 if styled else batch,
            text="embeddings",
            text_length=64,
            workers=8,
            image_frames=not stage.video,
            masks=MaskMixture() if stage.name == "conditional" else None,
        ),
        optimizer=OptimizerConfig(learning_rate=2e-4, warmup_steps=min(1000, steps // 10)),
        train=TrainConfig(
            steps=steps,
            trainable=stage.trainable,
            ema_decay=0.99 if styled else 0.999,
            save_every=min(1000, steps // 10),
            accumulate=1 if styled else parts,
            remat=stage.video,
        ),
    )
