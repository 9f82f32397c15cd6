r"""Training of the temporal half of any inflated image model, with all other parameters frozen.

    python -m lumiere_jax.convert --from=diffusers --path=IF-I-M-v1.0 --output=models/if-video \
        --inflate --size=64 --frames=80
    python -m lumiere_jax.train --config=configs/inflated.py:models/if-video \
        --workdir=runs/if-video --config.data.source=records:clips-with-text

The model folder follows the colon: architecture, diffusion, frames, size and text settings are read
from it. If it holds a text encoder, captions are encoded in the training step; otherwise their
embeddings are read with the clips (`python -m lumiere_jax.embed_text`).
"""

from ml_collections import ConfigDict

from lumiere_jax.checkpoints import describe_model
from lumiere_jax.checkpoints.model_folder import stage_names
from lumiere_jax.input_pipeline import DataConfig
from lumiere_jax.sampling import StageConfig, TextConfig
from lumiere_jax.structure import from_dict
from lumiere_jax.training.command_line import to_config_dict
from lumiere_jax.training.config import Experiment, TrainConfig
from lumiere_jax.training.optimizer import OptimizerConfig


def get_config(folder: str = "models/if-video") -> ConfigDict:
    """Return the configuration of the `base` stage of the model in `folder`."""
    model = describe_model(folder)
    name = stage_names(model)[0]
    part = model.parts[name]
    if part.config.temporal is None:
        raise ValueError(
            f"{folder}: {name!r} is an image model; make it a video model with "
            "python -m lumiere_jax.convert --inflate"
        )
    stage = from_dict(StageConfig, part.settings, f"{folder}: {name}")
    text = model.parts.get("text")
    prefix = f"{folder}: text"
    text_settings = from_dict(TextConfig, text.settings, prefix) if text else TextConfig()
    return to_config_dict(
        Experiment(
            name=str(model.settings.get("name", "inflated")),
            stage="base",
            model=part.config,
            text=text.config if text else None,
            diffusion=stage.diffusion,
            sampler=stage.sampler,
            data=DataConfig(
                source="records:clips-with-text" if text is None else "records:clips",
                frames=stage.frames,
                size=stage.size,
                batch_size=8,
                text="tokens" if text else "embeddings",
                tokenizer=text_settings.tokenizer,
                text_length=text_settings.length,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=1000),
            train=TrainConfig(trainable="temporal", start_from=folder, steps=100_000),
        )
    )
