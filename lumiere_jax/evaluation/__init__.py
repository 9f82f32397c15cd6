"""Measures a trained model: what `python -m lumiere_jax.evaluate` does, a file a measurement."""

from lumiere_jax.evaluation.evaluation import evaluate
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.evaluation.settings import EvaluationConfig
from lumiere_jax.evaluation.table import table

__all__ = ["EvaluationConfig", "ResultsFolder", "evaluate", "table"]
