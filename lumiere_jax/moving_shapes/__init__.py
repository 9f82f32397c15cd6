"""The synthetic captioned set, and measurements of its words from the pixels of a clip.

Only a source, a provider of evaluations and the demo's configuration import it.
"""

from lumiere_jax.moving_shapes.captions import caption, heldout_prompts, prompt, read_caption
from lumiere_jax.moving_shapes.dataset import MovingShapes
from lumiere_jax.moving_shapes.shapes import (
    Measured,
    measure_frame,
    measure_scene,
    prompt_accuracy,
)

__all__ = [
    "Measured",
    "MovingShapes",
    "caption",
    "heldout_prompts",
    "measure_frame",
    "measure_scene",
    "prompt",
    "prompt_accuracy",
    "read_caption",
]
