"""Applications of Lumiere, a module each: a request becomes (text, observed, mask, start).

Videos and images are arrays in [−1, 1] at the size of the result; `media`, `regions` and `canvas`
convert files, pictures and drawings to them.
"""

from lumiere_jax.applications.cinemagraph import cinemagraph
from lumiere_jax.applications.continuation import continuation
from lumiere_jax.applications.edit import edit
from lumiere_jax.applications.image_to_video import image_to_video
from lumiere_jax.applications.inpaint import inpaint, outpaint
from lumiere_jax.applications.stylize import styled, stylize
from lumiere_jax.applications.text_to_video import text_to_video
from lumiere_jax.applications.upscale import upscale

__all__ = [
    "cinemagraph",
    "continuation",
    "edit",
    "image_to_video",
    "inpaint",
    "outpaint",
    "styled",
    "stylize",
    "text_to_video",
    "upscale",
]
