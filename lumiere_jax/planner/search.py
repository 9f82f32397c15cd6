"""Search for the batch, the rematerialisation and the mesh that fit, with few compilations.

Programs are traced with one clip a row of the mesh and ranked by counts: arguments do not grow with
the batch, activations and operations do. The best of those that fit by the estimate is compiled;
the ratio of its memory to the estimate corrects the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lumiere_jax.parallel.mesh import MeshConfig
from lumiere_jax.parallel.sharding import storage_shardings
from lumiere_jax.planner.advice import contexts
from lumiere_jax.planner.bounds import time_bounds
from lumiere_jax.planner.cache import Cache
from lumiere_jax.planner.case import Case
from lumiere_jax.planner.compiling import GIB
from lumiere_jax.planner.counts import Counts
from lumiere_jax.planner.plan import Plan, make_plan
from lumiere_jax.planner.programs import null_of
from lumiere_jax.planner.progress import say
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.state import split_params

COMPILATIONS = 3
BEYOND = 3.0  # memories of a device; a larger estimate is not worth listing
LARGEST_BATCH = 1 << 20  # that `DataConfig` takes


class Candidate(NamedTuple):
    """A case with the counts that its rank depends on.

    Attributes:
      case: program and devices.
      clips: clips of each row of the mesh.
      counts: counts, derived from those of one clip.
    """

    case: Case
    clips: int
    counts: Counts

    @property
    def stored(self) -> float:
        """Return the memory of the arguments of one device, in GiB."""
        return sum(self.counts.stored.values()) / GIB

    def memory(self, correction: float = 1.0) -> float:
        """Return the estimated memory of one device, in GiB.

        Args:
          correction: ratio of temporaries to their estimate.
        """
        return self.stored + correction * self.counts.temporaries / GIB

    @property
    def seconds(self) -> float:
        """Return the lower bound of the time of a clip, in seconds over all devices."""
        target, case = self.case.target, self.case
        bounds = time_bounds(self.counts, target.chip, case.mesh, target.slices)
        return max(bounds.values()) / case.experiment.data.batch_size

    @property
    def moved(self) -> float:
        """Return the bytes of all collectives of one device for each clip of a row."""
        return sum(record.bytes for record in self.counts.collectives) / self.clips


class Search(NamedTuple):
    """The result of a search.

    Attributes:
      best: best plan that fits; None if none that was compiled does.
      tried: compiled plans, in the order of their compilation.
      candidates: all candidates, best rank first.
      correction: ratio of measured to estimated temporaries of the last compiled plan.
    """

    best: Plan | None
    tried: tuple[Plan, ...]
    candidates: tuple[Candidate, ...]
    correction: float


def search(
    case: Case,
    cache: Cache,
    *,
    fixed_mesh: bool = False,
    fixed_batch: bool = False,
    plan: Callable[[Case, Cache], Plan] = make_plan,
) -> Search:
    """Return the plan with the most clips a second, by its bounds, of those that fit.

    Args:
      case: program and devices to begin with.
      cache: results of earlier plans.
      fixed_mesh: True to keep the mesh of the case.
      fixed_batch: True to keep its batch.
      plan: function that compiles a case.

    Raises:
      ValueError: a target whose memory or rates are not known, or no mesh that divides the model.
    """
    available = case.target.memory_gib
    if case.target.chip is None or available is None:
        raise ValueError("--search needs published rates: give a --topology, such as v5e:4x4")
    candidates = list(_candidates(case, cache, fixed_mesh=fixed_mesh, fixed_batch=fixed_batch))
    if not candidates:
        raise ValueError(
            f"--batch_size={case.experiment.data.batch_size} is not a multiple of any mesh's rows "
            f"on {case.target}; use --batch_size={case.target.count}"
        )
    candidates.sort(key=lambda candidate: (candidate.seconds, candidate.moved))
    tried: list[Plan] = []
    correction, best = 1.0, None
    for _ in range(COMPILATIONS):
        chosen = _next(candidates, tried, best, available, correction)
        if chosen is None:
            break
        say(f"compilation {len(tried) + 1} of at most {COMPILATIONS}: {chosen.case}")
        made = plan(chosen.case, cache)
        tried.append(made)
        if made.memory is not None and chosen.counts.temporaries:
            temporaries = (made.memory - chosen.stored) * GIB
            correction = temporaries / chosen.counts.temporaries
        if made.fits:
            best = made
    return Search(best, tuple(tried), tuple(candidates), correction)


def _next(
    candidates: list[Candidate],
    tried: list[Plan],
    best: Plan | None,
    available: float,
    correction: float,
) -> Candidate | None:
    """Return the best candidate that may fit and was not compiled; None if the best one was.

    If none may fit, it is the smallest, once: estimates are rough.
    """
    done = [plan.case for plan in tried]
    for candidate in candidates:
        if best is not None and candidate.case == best.case:
            return None
        if candidate.case not in done and candidate.memory(correction) <= available:
            return candidate
    return None if tried else min(candidates, key=Candidate.memory, default=None)


def _candidates(
    case: Case, cache: Cache, *, fixed_mesh: bool, fixed_batch: bool
) -> Iterator[Candidate]:
    """Yield the candidates of every mesh that is worth its communication.

    Dividing the frames over more devices only costs, once a clip fits without rematerialisation.
    """
    available = case.target.memory_gib
    batch = case.experiment.data.batch_size if fixed_batch else None
    train = dataclasses.replace(case.experiment.train, accumulate=1)
    case = dataclasses.replace(case, experiment=dataclasses.replace(case.experiment, train=train))
    for mesh in [case.experiment.mesh] if fixed_mesh else _meshes(case):
        enough = False
        for remat in (False, True) if case.what == "train" else (False,):
            one = case.replaced(mesh=mesh, remat=remat)
            if batch is not None and batch % one.rows:
                continue
            counts = one.replaced(batch_size=one.rows).count(cache)
            for clips in _batches(one, counts) if batch is None else [batch // one.rows]:
                made = one.replaced(batch_size=clips * one.rows)
                yield Candidate(made, clips, scaled(counts, clips))
            enough |= not remat and _gib(counts) <= available
        if enough:
            return


def _meshes(case: Case) -> Iterator[MeshConfig]:
    """Yield a mesh for each way to divide the frames, into the fewest parts first.

    Each has one replica a slice, or as few as the parameters' dimensions allow.
    """
    slices = case.target.slices
    for context in contexts(case):
        rows, replicas = case.target.count // slices // context, 1
        while rows % replicas == 0:
            mesh = MeshConfig(replica=replicas * slices, fsdp=rows // replicas, context=context)
            if _divides_parameters(case.replaced(mesh=mesh)):
                yield mesh
                break
            replicas *= 2


def _divides_parameters(case: Case) -> bool:
    shapes = make_objective(case.experiment, null=null_of(case.experiment)).shapes()
    mesh = case.target.abstract_mesh(case.experiment.mesh)
    try:
        for tree in split_params(shapes, case.experiment.train.trainable):
            storage_shardings(tree, mesh)
    except ValueError:
        return False
    return True


def _batches(case: Case, counts: Counts) -> Iterator[int]:
    """Yield clips of a row, doubled as long as the estimate is not far beyond the memory."""
    clips, most = 1, BEYOND * case.target.memory_gib
    while clips == 1 or (
        clips * case.rows <= LARGEST_BATCH and _gib(scaled(counts, clips)) <= most
    ):
        yield clips
        clips *= 2


def _gib(counts: Counts) -> float:
    return (sum(counts.stored.values()) + counts.temporaries) / GIB


def scaled(counts: Counts, clips: int) -> Counts:
    """Return the counts of more clips from those of one.

    What `context` alone moves are activations. Where it also is the only axis that divides the
    parameters, too many bytes of them are counted.

    Args:
      counts: counts with one clip of each row of the mesh.
      clips: clips of each row.
    """
    collectives = tuple(
        dataclasses.replace(record, bytes=record.bytes * clips)
        if record.axes == ("context",)
        else record
        for record in counts.collectives
    )
    batch = {name: n * clips for name, n in counts.stored.items() if name in ("batch", "inputs")}
    return Counts(
        collectives,
        counts.flops * clips,
        counts.traffic * clips,
        counts.temporaries * clips,
        counts.stored | batch,
    )


def describe(found: Search, limit: int = 8) -> str:
    """Return a search as lines: the best candidates, the compiled plans, and what was chosen.

    Args:
      found: result of the search.
      limit: number of candidates to list.
    """
    lines = ["search, best rank first (bounds and estimates; memory of a device in GiB):"]
    lines.append(f"  {'':74} {'s a clip':>9} {'estimated':>9} {'compiled':>9}")
    for rank, candidate in enumerate(found.candidates):
        made = next((plan for plan in found.tried if plan.case == candidate.case), None)
        if made is None and rank >= limit:
            continue
        compiled = f"{made.memory:9.2f}" if made is not None and made.memory is not None else ""
        lines.append(
            f"  {candidate.case!s:74} {candidate.seconds:9.3g} "
            f"{candidate.memory(found.correction):9.2f} {compiled:>9}"
        )
    if found.best is None:
        lines.append("  none of the compiled plans fits")
    else:
        remat = "with" if found.best.case.experiment.train.remat else "without"
        lines.append(
            f"  largest batch that fits of those compiled: "
            f"{found.best.case.experiment.data.batch_size} clips, {remat} rematerialisation"
        )
    return "\n".join(lines)
