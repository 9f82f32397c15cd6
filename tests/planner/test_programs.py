"""Programs are traced from shapes: without data, tokens, weights or devices."""

import dataclasses

import jax
import numpy as np
import pytest

from lumiere_jax.input_pipeline import DataConfig, MaskMixture
from lumiere_jax.parallel.mesh import MeshConfig, make_mesh
from lumiere_jax.planner import programs
from lumiere_jax.planner.programs import (
    for_target,
    null_of,
    sampling_program,
    stage_config,
    training_batch,
    training_program,
)
from lumiere_jax.planner.targets import local_target
from lumiere_jax.training.command_line import load_config, to_experiment
from lumiere_jax.training.data import null_text, open_batches
from lumiere_jax.training.initialize import state_shapes
from lumiere_jax.training.objective import make_objective
from lumiere_jax.training.optimizer import make_optimizer
from lumiere_jax.training.runs import _settings
from tests.tiny import tiny_experiment, unet

EIGHT = local_target(8)


@pytest.fixture
def untraced(monkeypatch):
    """Leave the step untraced, which takes seconds: the test reads the arguments."""
    monkeypatch.setattr(programs, "trace_step", lambda *arguments: None)


def with_masks(experiment):
    model = dataclasses.replace(experiment.model, observed=True)
    data = dataclasses.replace(experiment.data, masks=MaskMixture())
    return dataclasses.replace(experiment, model=model, data=data)


def with_embeddings(experiment):
    data = dataclasses.replace(experiment.data, text="embeddings", source="records:nowhere")
    return dataclasses.replace(experiment, text=None, data=data)


@pytest.mark.parametrize("change", [lambda e: e, with_masks])
@pytest.mark.parametrize("stage", ["image", "base"])
def test_the_planned_batch_is_the_one_that_is_read(stage, change):
    experiment = change(tiny_experiment("base")) if stage == "base" else tiny_experiment(stage)
    with open_batches(experiment, make_mesh()) as batches:
        read = next(batches)
    read.pop("record")
    planned = training_batch(experiment)
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in planned.items()} == {
        name: (rows.shape, rows.dtype) for name, rows in read.items()
    }


def test_the_planned_null_has_the_shape_of_the_null_text():
    experiment = tiny_experiment("base")
    for zeros, read in zip(null_of(experiment), null_text(experiment)):
        assert (zeros.shape, zeros.dtype) == (read.shape, read.dtype)
    assert null_of(with_embeddings(experiment)).embedding.shape == (1, 8, 32)
    without = dataclasses.replace(
        experiment, text=None, model=unet(text_dim=None, text_mask=False), data=DataConfig(frames=4)
    )
    assert null_of(without) is None


def test_embeddings_and_a_tokenizer_that_are_nowhere_are_not_looked_for(untraced):
    experiment = with_embeddings(tiny_experiment("base"))
    mesh = EIGHT.abstract_mesh(MeshConfig(fsdp=-1, replica=1))
    program = training_program(experiment, mesh)
    assert program.stored["batch"] == 4 * 8 * 8 * 3 + 8 * 32 * 2 + 8
    tokens = tiny_experiment("base")
    data = dataclasses.replace(tokens.data, tokenizer="nowhere/spiece.model")
    training_program(dataclasses.replace(tokens, data=data), mesh)


def test_the_stored_bytes_are_those_of_the_state_on_a_device(untraced):
    experiment = tiny_experiment("image")
    config = MeshConfig(fsdp=-1, replica=1)
    program = training_program(experiment, EIGHT.abstract_mesh(config))
    optimizer = make_optimizer(experiment.optimizer, experiment.train.steps)
    state = state_shapes(make_objective(experiment), optimizer, make_mesh(config))
    for name, tree in (("trained parameters", state.trainable), ("optimizer", state.optimizer)):
        leaves = jax.tree.leaves(tree)
        shards = [np.prod(leaf.sharding.shard_shape(leaf.shape), dtype=int) for leaf in leaves]
        assert program.stored[name] == 4 * sum(shards)
    assert program.stored["frozen parameters"] == 0


@pytest.mark.parametrize("stage", ["base", "ssr", "ssr_image"])
def test_a_stage_is_sampled_with_the_settings_of_its_finished_run(stage):
    experiment = to_experiment(load_config(f"configs/demo.py:{stage}"))
    assert stage_config(experiment) == _settings(experiment)


def test_sampling_is_traced_with_and_without_a_low_resolution_clip(unchecked):
    mesh = EIGHT.abstract_mesh(MeshConfig(fsdp=-1, replica=1))
    program = sampling_program(tiny_experiment("base"), mesh, 8)
    assert program.stored["inputs"] == 8 * 32 * 4 + 8
    refined = to_experiment(load_config("configs/demo.py:ssr"))
    sampler = dataclasses.replace(refined.sampler, steps=2)
    program = sampling_program(dataclasses.replace(refined, sampler=sampler), mesh, 3)
    # Three clips do not divide over eight devices: each has all of them.
    assert program.stored["inputs"] == 3 * 16 * 32 * 32 * 3 * 4


def test_on_a_tpu_the_dtype_is_bfloat16_unless_it_is_set():
    experiment = tiny_experiment("base")
    assert for_target(experiment, accelerator=True).train.dtype == "bfloat16"
    assert for_target(experiment, accelerator=False) is experiment
    wide = tiny_experiment("base", dtype="float32")
    assert for_target(wide, accelerator=True).train.dtype == "float32"


@pytest.mark.parametrize(
    ("config", "batch", "line"),
    [
        (MeshConfig(fsdp=4), 6, r"batch_size=6 is not divisible by .* = 8 devices; set --config"),
        (MeshConfig(context=8), 8, r"mesh\.context=8 does not divide the 4 rows .* divisor of 4"),
    ],
)
def test_a_mesh_that_does_not_divide_is_refused_with_a_value_that_works(config, batch, line):
    experiment = tiny_experiment("base")
    data = dataclasses.replace(experiment.data, batch_size=batch)
    experiment = dataclasses.replace(experiment, data=data)
    with pytest.raises(ValueError, match=line):
        training_program(experiment, EIGHT.abstract_mesh(config))
