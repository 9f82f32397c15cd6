"""The TPU compiler itself, where it is installed (pip install '.[tpu-compile]'); minutes each."""

import dataclasses

import pytest

from lumiere_jax.parallel.mesh import MeshConfig
from lumiere_jax.planner import Cache, Case, make_plan, read_topology
from lumiere_jax.planner.libtpu import libtpu_version
from lumiere_jax.training.command_line import load_config, to_experiment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(libtpu_version() is None, reason="libtpu is not installed"),
]


def case_of(topology, mesh, **options):
    experiment = to_experiment(load_config("configs/demo.py:base"))
    experiment = dataclasses.replace(experiment, mesh=mesh)
    return Case(experiment=experiment, target=read_topology(topology), **options)


@pytest.mark.parametrize("what", ["train", "sample"])
def test_the_demo_compiles_for_four_chips_with_what_is_written_and_near_its_estimate(
    unchecked, tmp_path, what
):
    case = case_of("v5e:2x2", MeshConfig(replica=1, fsdp=4), what=what)
    plan = make_plan(case, Cache(tmp_path))
    assert plan.fits
    assert plan.memory < 0.5
    assert plan.compiled.collectives["collective_permute"] == 0
    assert plan.compiled.collectives["all_to_all"] == 0
    temporaries = plan.memory_parts["activations and temporaries"]
    assert 0.4 < (plan.estimate - plan.stored) / temporaries < 2.5


def test_a_batch_that_does_not_fit_is_refused_by_the_compiler(unchecked, tmp_path):
    case = case_of("v5e:1x1", MeshConfig()).replaced(batch_size=8192)
    plan = make_plan(case, Cache(tmp_path))
    assert plan.fits is False
    assert plan.missing > 1
