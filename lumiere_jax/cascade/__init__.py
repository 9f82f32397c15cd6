"""The cascade: text → base clip → super-resolution, arrays in, a video out.

made = Cascade.from_model(model).sample(Request(prompts=["a red circle"], seeds=[0]))

Every application of Lumiere is the same call with other arrays: (text, observed video, mask,
start). See `applications/`.
"""

from lumiere_jax.cascade.cascade import Cascade
from lumiere_jax.cascade.pixels import from_uint8, shrink, shrink_area, to_uint8
from lumiere_jax.cascade.request import Conditioning, Request, check_seed
from lumiere_jax.cascade.text import TextSettings

__all__ = [
    "Cascade",
    "Conditioning",
    "Request",
    "TextSettings",
    "check_seed",
    "from_uint8",
    "shrink",
    "shrink_area",
    "to_uint8",
]
