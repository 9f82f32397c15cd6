"""The tiny run of the tests as a configuration file."""

from lumiere_jax.training.command_line import to_config_dict
from tests.tiny import tiny_experiment


def get_config(stage="image"):
    return to_config_dict(tiny_experiment(stage))
