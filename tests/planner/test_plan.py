"""Plans of the tiny model: counted, compiled for eight parts of the CPU, cached, and refused."""

import dataclasses
import json

import pytest

from lumiere_jax.parallel.count import KINDS, compiled_collectives
from lumiere_jax.parallel.mesh import MeshConfig
from lumiere_jax.planner import (
    Asked,
    Cache,
    Case,
    Plan,
    local_target,
    make_plan,
    read_topology,
    refusal,
    report,
    to_json,
)
from lumiere_jax.planner.advice import contexts, helpful_changes, training_command
from lumiere_jax.planner.compiling import GIB, Compiled, each_once, needed_bytes
from tests.tiny import tiny_experiment, unet

MESH = MeshConfig(replica=1, fsdp=4, context=2)


def tiny_case(target=None, **train):
    """Return the case of one level without text: little to compile."""
    options = {"text_dim": None, "text_mask": False, "temporal": None}
    model = unet(channels=(8,), blocks=(1,), attention=(False,), **options)
    experiment = dataclasses.replace(
        tiny_experiment("image", **train), model=model, text=None, mesh=MESH
    )
    return Case(experiment=experiment, target=target or local_target(8))


def asked(case, **overrides):
    return Asked(
        config="tests/tiny_config.py:image", overrides=overrides, experiment=case.experiment
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return (plan, cache) of the tiny training step, compiled for this machine."""
    cache = Cache(tmp_path_factory.mktemp("plans"))
    return make_plan(tiny_case(local_target(8, memory_gib=1)), cache), cache


def test_a_compiled_plan_has_all_its_numbers(compiled):
    plan, _ = compiled
    result = json.loads(json.dumps(to_json(plan, asked(plan.case))))
    assert set(result["collectives"]) == set(KINDS)
    assert all({"count", "bytes"} <= set(kind) for kind in result["collectives"].values())
    assert result["collectives"]["collective_permute"]["count"] > 0
    assert result["fits"] is True
    assert 0 < result["memory_gib"] < 1
    assert sum(result["memory_parts_gib"].values()) == pytest.approx(result["memory_gib"])
    assert result["flops"] == result["flops_with_recomputation"] > 1e6
    assert result["seconds_to_compile"] > 0
    assert result["mesh"] == {"replica": 1, "fsdp": 4, "context": 2}
    assert (result["batch_size"], result["topology"], result["remat"]) == (8, None, False)
    assert result["versions"]["jax"]


def test_the_report_names_memory_collectives_flops_and_flags(compiled):
    plan, _ = compiled
    text = report(plan, asked(plan.case, **{"train.steps": 9}))
    for word in ("optimizer", "their average", "headroom", "all_gather", "fsdp, context", "FLOPs"):
        assert word in text
    assert "fits: yes, with " in text
    assert text.splitlines()[-1] == (
        "train so: python -m lumiere_jax.train --config=tests/tiny_config.py:image --workdir=… "
        "--config.train.steps=9 --config.mesh.replica=1 --config.mesh.fsdp=4 "
        "--config.mesh.context=2 --config.data.batch_size=8 --config.train.remat=False"
    )


def test_a_plan_is_read_from_the_cache_without_tracing(compiled, monkeypatch):
    plan, cache = compiled
    monkeypatch.setattr(Case, "program", None)
    assert make_plan(plan.case, cache) == plan
    with pytest.raises(TypeError):
        make_plan(plan.case.replaced(batch_size=16), cache)


def test_a_damaged_file_of_the_cache_is_written_again(tmp_path):
    cache = Cache(tmp_path)
    cache.write({"a": 1}, {"b": 2})
    (file,) = tmp_path.iterdir()
    assert cache.read({"a": 1}) == {"b": 2}
    assert cache.read({"a": 2}) is None
    file.write_text(file.read_text()[:20])
    assert cache.read({"a": 1}) is None
    cache.write({"a": 1}, {"b": 3})
    assert cache.read({"a": 1}) == {"b": 3}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_that_cannot_be_written_stores_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "folder")
    cache.write({}, {"b": 2})
    assert cache.read({}) is None


def test_a_plan_that_does_not_fit_says_by_how_much_and_what_helps(compiled):
    plan, cache = compiled
    limit = (plan.stored + plan.memory) / 2
    target = local_target(8, memory_gib=limit)
    refused = make_plan(dataclasses.replace(plan.case, target=target), cache)
    assert refused.fits is False
    assert refused.missing == pytest.approx(plan.memory - limit)
    line = refusal(refused)
    assert line.startswith("the plan does not fit: it needs 0.0")
    assert "--config.train.remat=True" in line
    assert "\n" not in line
    assert to_json(refused, asked(plan.case))["fits"] is False


def test_arguments_that_are_too_large_are_not_compiled(compiled, monkeypatch):
    plan, cache = compiled
    monkeypatch.setattr(Case, "compile", None)
    target = local_target(8, memory_gib=plan.stored / 2)
    refused = make_plan(dataclasses.replace(plan.case, target=target), cache)
    assert refused.fits is False
    assert "it needs at least 0.0" in refusal(refused)


def test_counting_alone_knows_no_memory_and_no_model_flops_of_recomputation(compiled, monkeypatch):
    counts = compiled[0].counts
    monkeypatch.setattr(Case, "count", lambda case, cache: counts)
    plan = make_plan(tiny_case(remat=True), compiled[1], compile=False)
    result = to_json(plan, asked(plan.case))
    assert (result["memory_gib"], result["fits"], result["flops"]) == (None, None, None)
    assert result["flops_with_recomputation"] > 0
    text = report(plan, asked(plan.case))
    assert "fits: not known (not compiled)" in text
    assert "rematerialised" in text


def test_more_devices_than_the_machine_has_are_refused(tmp_path):
    case = Case(experiment=tiny_experiment("base"), target=local_target(16))
    with pytest.raises(ValueError, match=r"--devices=16: this machine has 8; use --devices=8, or"):
        make_plan(case, Cache(tmp_path))


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        ("RESOURCE_EXHAUSTED: … HLO temporaries (61.5G) exceeds available HBM (15.75G).", 61.75),
        ("RESOURCE_EXHAUSTED: Ran out of memory. Used 17.5G of 15.75G hbm.", 17.5),
        ("RESOURCE_EXHAUSTED: another reason", None),
        ("INTERNAL: HLO temporaries (61.5G) exceeds available HBM (15.75G).", None),
    ],
)
def test_the_memory_that_the_compiler_misses_is_read(message, needed):
    found = needed_bytes(message, GIB // 4)
    assert found == (None if needed is None else needed * GIB)


def test_an_asynchronous_collective_of_a_tpu_counts_once():
    gather = '  %g = f32[8] all-gather(%p), channel_id=1, frontend_attributes={chain_id="2"}'
    parts = (
        f'%start {{\n{gather}\n  custom-call(%g), custom_call_target="AsyncCollectiveStart"\n}}',
        f"%beside {{\n{gather}\n  %m = f32[8] multiply(%p, %p)\n}}",
        f'%done {{\n{gather}\n  custom-call(%g), custom_call_target="AsyncCollectiveDone"\n}}',
        "ENTRY %main {\n  %h = f32[8] all-gather(%p), channel_id=1\n}",
    )
    assert compiled_collectives(each_once("\n\n".join(parts)))["all_gather"] == 2


def test_a_program_that_the_compiler_refused_does_not_fit(compiled):
    case, counts = tiny_case(read_topology("v5e:2x4")), compiled[0].counts
    plan = Plan(case=case, counts=counts, compiled=Compiled(18 * GIB, 0, False, {}, 1.0))
    assert plan.fits is False
    assert "it needs at least 2.25 GiB more than the 15.75 GiB of a device" in refusal(plan)
    assert "or let --search choose" in refusal(plan)


def test_what_helps_depends_on_the_case():
    case = tiny_case(read_topology("v5e:2x4"))
    assert helpful_changes(case.replaced(batch_size=32, remat=True)) == [
        "--config.train.accumulate=8",
        "--batch_size=16",
    ]
    spread = case.replaced(mesh=MeshConfig(replica=4, fsdp=2))
    assert helpful_changes(spread)[:2] == [
        "--config.train.remat=True",
        "--mesh=replica=1,fsdp=8,context=1",
    ]
    one = case.replaced(mesh=MeshConfig(replica=1, fsdp=8), remat=True)
    assert helpful_changes(one) == ["--mesh=replica=1,fsdp=4,context=2 --batch_size=4"]
    assert contexts(one) == [1, 2, 4, 8]


def test_the_command_has_every_setting_that_the_plan_changed():
    case = tiny_case()
    changed = case.replaced(batch_size=16, remat=True)
    command = training_command(asked(case, **{"model.blocks": (1, 1)}), changed)
    assert "'--config.model.blocks=(1, 1)'" in command
    assert "--config.data.batch_size=16" in command
    assert "--config.train.remat=True" in command
