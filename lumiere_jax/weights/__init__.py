"""Reading and writing parameters: other people's formats, and our model folder."""

from lumiere_jax.weights.dataclass_json import from_json, to_json
from lumiere_jax.weights.model_folder import Model, Part, describe_model, read_model, write_model

__all__ = ["Model", "Part", "describe_model", "from_json", "read_model", "to_json", "write_model"]
