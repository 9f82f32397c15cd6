"""The stages that a model is trained in: the one table of their names and their order."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingStage:
    """One stage.

    Attributes:
      name: name of the stage and of its work directory inside the run.
      follows: stage whose averaged parameters it starts from; None for fresh ones.
      trainable: pattern of the parameter paths that it trains, see `TrainConfig.trainable`.
      role: network of the cascade that it trains; a style is applied to the base.
      video: True if the network has a temporal half.
    """

    name: str
    follows: str | None
    trainable: str
    role: Literal["base", "ssr", "style"]
    video: bool


STAGES = {
    stage.name: stage
    for stage in (
        TrainingStage(name="image", follows=None, trainable=".", role="base", video=False),
        TrainingStage(name="base", follows="image", trainable="temporal", role="base", video=True),
        TrainingStage(
            name="conditional",
            follows="base",
            trainable="temporal|observation",
            role="base",
            video=True,
        ),
        TrainingStage(name="style", follows="image", trainable="^unet/", role="style", video=False),
        TrainingStage(name="ssr_image", follows=None, trainable=".", role="ssr", video=False),
        TrainingStage(
            name="ssr", follows="ssr_image", trainable="temporal", role="ssr", video=True
        ),
    )
}
TEXT_STAGE = "image"
"""The stage that trains the text encoder, which a run has one of."""


def find_stage(name: str, file: str) -> TrainingStage:
    """Return the stage of that name.

    Args:
      name: name in the table.
      file: configuration file, for the message.

    Raises:
      ValueError: no such stage.
    """
    if name not in STAGES:
        raise ValueError(f"{file} has no stage {name!r}; one of {', '.join(STAGES)}")
    return STAGES[name]


def last_first(role: str) -> list[str]:
    """Return the names of the stages of a role, the last to be trained first."""
    return [stage.name for stage in reversed(STAGES.values()) if stage.role == role]
