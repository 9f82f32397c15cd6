"""One stage of the cascade: a network with what it takes to sample from it."""

from lumiere_jax.stage.conditions import refine_conditions
from lumiere_jax.stage.settings import StageSettings
from lumiere_jax.stage.stage import Preview, Stage

__all__ = ["Preview", "Stage", "StageSettings", "refine_conditions"]
