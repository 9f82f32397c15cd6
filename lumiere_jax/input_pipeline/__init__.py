"""Batches of clips: from prepared records, TensorFlow Datasets, or scenes rendered on demand.

    with make_pipeline(DataConfig(source="records:clips/", batch_size=8)) as batches:
        batch = next(batches)         # {"video": uint8 [b, t, h, w, 3], "tokens": …}
        state = batches.get_state()   # JSON; set_state resumes exactly there

Imports no JAX; grain, which does, is imported when batches are read.
"""

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.masks import Mask, MaskMixture, draw_mask
from lumiere_jax.input_pipeline.pipeline import Pipeline, make_pipeline
from lumiere_jax.input_pipeline.records import Clip, decode_clip, encode_clip
from lumiere_jax.input_pipeline.source import Example, Source
from lumiere_jax.input_pipeline.tfds_source import TfdsSource

__all__ = [
    "Clip",
    "DataConfig",
    "Example",
    "Mask",
    "MaskMixture",
    "Pipeline",
    "Source",
    "TfdsSource",
    "decode_clip",
    "draw_mask",
    "encode_clip",
    "make_pipeline",
]
