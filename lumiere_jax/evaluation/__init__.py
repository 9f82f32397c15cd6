"""Measure a trained model: what `python -m lumiere_jax.evaluate` does."""

from lumiere_jax.evaluation.config import EvaluationConfig
from lumiere_jax.evaluation.evaluation import evaluate
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.evaluation.table import table

__all__ = ["EvaluationConfig", "ResultsFolder", "evaluate", "table"]
