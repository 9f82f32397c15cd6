"""The search ranks by counts, compiles little, and learns from what it compiled."""

import dataclasses

import pytest

from lumiere_jax.parallel.count import Collective
from lumiere_jax.planner import Cache, Case, Plan, describe, local_target, read_topology, search
from lumiere_jax.planner.compiling import GIB, Compiled
from lumiere_jax.planner.counts import Counts
from lumiere_jax.planner.search import COMPILATIONS, scaled
from tests.tiny import tiny_experiment

TARGET = read_topology("v5e:2x4")  # 8 chips of 15.75 GiB
STORED = 1.0  # GiB


def fake_count(case, cache=None):
    """Return counts by a formula: 10 GiB a clip, a fifth of that and 4/3 the work with remat."""
    experiment, mesh = case.experiment, case.mesh
    clips = experiment.data.batch_size / case.rows
    remat = experiment.train.remat
    flops = 1e15 * experiment.data.batch_size * (4 / 3 if remat else 1)
    temporaries = clips * (2 if remat else 10) * GIB / mesh["context"]
    gather = Collective("all_gather", ("fsdp",), 100, 10**9)
    return Counts((gather,), int(flops), 10**9, int(temporaries), {"parameters": int(STORED * GIB)})


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(Case, "count", fake_count)
    return Case(experiment=tiny_experiment("image"), target=TARGET)


def compiler(factor, tried):
    """Return a plan function: temporaries are `factor` times the estimate."""

    def plan(case, cache):
        tried.append(case)
        counts = fake_count(case)
        total = int(STORED * GIB + factor * counts.temporaries)
        return Plan(case=case, counts=counts, compiled=Compiled(total, 0, True, {}, 1.0))

    return plan


def found(case, factor, tmp_path, **options):
    tried = []
    result = search(case, Cache(tmp_path), plan=compiler(factor, tried), **options)
    assert [plan.case for plan in result.tried] == tried
    assert len(tried) <= COMPILATIONS
    return result


def test_the_first_choice_is_the_fastest_that_fits_by_the_estimate(counted, tmp_path):
    result = found(counted, 1.0, tmp_path)
    (plan,) = result.tried
    assert plan is result.best
    # One clip a chip fits without rematerialisation, so that frames need not be divided.
    assert plan.case.mesh == {"replica": 1, "fsdp": 8, "context": 1}
    assert not plan.case.experiment.train.remat
    assert plan.case.experiment.data.batch_size == 8
    assert all(candidate.case.mesh["context"] == 1 for candidate in result.candidates)


def test_a_larger_memory_than_estimated_leads_to_another_choice(counted, tmp_path):
    result = found(counted, 1.9, tmp_path)
    assert result.tried[0].fits is False
    assert result.best is result.tried[-1]
    assert result.best.case.experiment.train.remat
    assert result.best.memory <= 15.75
    assert result.correction == pytest.approx(1.9)


def test_a_smaller_memory_than_estimated_leads_to_a_faster_choice(counted, tmp_path):
    result = found(counted, 0.5, tmp_path)
    assert [plan.case.experiment.data.batch_size for plan in result.tried] == [8, 16]
    assert result.best is result.tried[-1]


def test_if_nothing_may_fit_the_smallest_is_compiled_once(counted, tmp_path):
    case = dataclasses.replace(counted, target=dataclasses.replace(TARGET, memory_gib=1.2))
    result = found(case, 1.0, tmp_path)
    (plan,) = result.tried
    assert result.best is None
    assert plan.memory == min(candidate.memory() for candidate in result.candidates)
    # Frames of 8 pixels have 4 rows at the coarsest level.
    assert plan.case.mesh["context"] == 4
    assert "none of the compiled plans fits" in describe(result)


def test_a_given_batch_and_mesh_stay(counted, tmp_path):
    case = counted.replaced(batch_size=32)
    result = found(case, 1.0, tmp_path, fixed_batch=True)
    assert {c.case.experiment.data.batch_size for c in result.candidates} == {32}
    assert result.best.case.experiment.train.remat
    result = found(case, 1.0, tmp_path, fixed_mesh=True)
    assert {c.case.experiment.mesh for c in result.candidates} == {case.experiment.mesh}
    with pytest.raises(ValueError, match=r"^--batch_size=7 is not a multiple .* --batch_size=8$"):
        found(counted.replaced(batch_size=7), 1.0, tmp_path, fixed_batch=True)


def test_sampling_has_no_rematerialisation(counted, tmp_path):
    case = dataclasses.replace(counted, what="sample")
    result = found(case, 1.0, tmp_path)
    assert not any(candidate.case.experiment.train.remat for candidate in result.candidates)


def test_replicas_cross_slices(counted, tmp_path):
    case = dataclasses.replace(counted, target=read_topology("v5e:2x2x2s"))
    result = found(case, 1.0, tmp_path)
    assert result.best.case.mesh == {"replica": 2, "fsdp": 4, "context": 1}


def test_a_machine_without_published_rates_is_not_searched(counted, tmp_path):
    case = dataclasses.replace(counted, target=local_target(8, memory_gib=1))
    with pytest.raises(ValueError, match=r"^--search needs published rates: give a --topology"):
        found(case, 1.0, tmp_path)


def test_the_table_shows_the_compiled_plans_and_what_was_chosen(counted, tmp_path):
    text = describe(found(counted, 1.9, tmp_path), limit=1)
    assert text.count("a training step of") == COMPILATIONS or "with rematerialisation" in text
    assert "largest batch that fits of those compiled" in text


def test_of_more_clips_activations_grow_and_parameters_do_not():
    records = (
        Collective("all_gather", ("fsdp", "context"), 3, 100),
        Collective("collective_permute", ("context",), 5, 10),
    )
    counts = Counts(records, 7, 11, 13, {"parameters": 17, "batch": 19})
    assert scaled(counts, 4) == Counts(
        (records[0], dataclasses.replace(records[1], bytes=40)),
        28,
        44,
        52,
        {"parameters": 17, "batch": 76},
    )
