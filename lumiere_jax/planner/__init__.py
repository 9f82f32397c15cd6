"""Plan a run on devices that are not here: what `python -m lumiere_jax.plan` does."""

from lumiere_jax.planner.advice import Asked, refusal
from lumiere_jax.planner.cache import Cache
from lumiere_jax.planner.case import Case
from lumiere_jax.planner.plan import Plan, make_plan
from lumiere_jax.planner.report import report, to_json
from lumiere_jax.planner.search import describe, search
from lumiere_jax.planner.targets import Target, local_target, read_mesh, read_topology

__all__ = [
    "Asked",
    "Cache",
    "Case",
    "Plan",
    "Target",
    "describe",
    "local_target",
    "make_plan",
    "read_mesh",
    "read_topology",
    "refusal",
    "report",
    "search",
    "to_json",
]
