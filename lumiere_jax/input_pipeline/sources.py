"""From the name of a source to the source."""

from __future__ import annotations

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.shapes_source import ShapesSource
from lumiere_jax.input_pipeline.source import Source


def open_source(config: DataConfig) -> Source:
    """The source that `config.source` names.

    Raises:
      ValueError: there is no such kind, or the clips have other frames or another size.
      FileNotFoundError: the folder is not there.
    """
    kind, _, name = config.source.partition(":")
    if kind == "moving_shapes" and not name:
        return ShapesSource(config)
    if kind == "records" and name:
        from lumiere_jax.input_pipeline.record_source import RecordSource

        return RecordSource(name, config)
    if kind == "tfds" and name:
        from lumiere_jax.input_pipeline.tfds_source import open_tfds

        return open_tfds(name, config)
    if kind == "images" and name:
        from lumiere_jax.input_pipeline.image_source import ImageSource

        return ImageSource(name, config)
    raise ValueError(
        f"data.source={config.source!r}: must be 'moving_shapes', 'records:<folder>', "
        "'tfds:<name>' or 'images:<folder>'"
    )
