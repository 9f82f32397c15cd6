"""The cascade: text → base clip → super-resolution, arrays in, a video out.

made = Cascade.from_model(model).sample(Request(prompts=["a red circle"], seeds=[0]))

Every application of Lumiere is the same call with other arrays: (text, observed video, mask,
start). See `applications/`. A `Stage` is one network of the cascade with what it takes to sample
from it.
"""

from lumiere_jax.sampling.cascade import Cascade
from lumiere_jax.sampling.low_resolution import refine_conditions
from lumiere_jax.sampling.request import Conditioning, Request, check_seed
from lumiere_jax.sampling.shrink import shrink, shrink_area
from lumiere_jax.sampling.stage import Preview, Stage
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.sampling.text import TextConfig

__all__ = [
    "Cascade",
    "Conditioning",
    "Preview",
    "Request",
    "Stage",
    "StageConfig",
    "TextConfig",
    "check_seed",
    "refine_conditions",
    "shrink",
    "shrink_area",
]
