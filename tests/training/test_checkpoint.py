"""Checkpoints of a small state, intact and damaged in many ways."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tensorstore

from lumiere_jax.parallel import MeshConfig, make_mesh, storage_shardings
from lumiere_jax.training.checkpoint import Checkpoints, state_from_trees, stored_trees
from lumiere_jax.training.state import create_state
from tests.tiny import tiny_experiment


def small_state(value):
    rng = np.random.default_rng(value)
    params = {
        "unet": {
            "temporal": {"kernel": jnp.asarray(rng.normal(size=(64, 64)), jnp.float32)},
            "conv": {"kernel": jnp.asarray(rng.normal(size=(8, 8)), jnp.float32)},
        }
    }
    return create_state(params, "temporal", optax.adam(1e-3), jnp.float32)


def shapes_of(state, mesh):
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        storage_shardings(state, mesh, small=64),
    )


@pytest.fixture
def folder(tmp_path):
    """Write a work directory with checkpoints at steps 1 and 2."""
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        for step in (1, 2):
            state = small_state(step)
            frozen = checkpoints.save_frozen(state.frozen)
            checkpoints.save(
                step,
                state,
                data={"position": 8 * step},
                experiment=tiny_experiment("image"),
                frozen=frozen,
            )
    return tmp_path


def restore(folder, mesh_config=None):
    state = small_state(0)
    shapes = shapes_of(state, make_mesh(mesh_config))
    with Checkpoints(folder, keep=3) as checkpoints:
        restored = checkpoints.restore(stored_trees(shapes))
        return restored, restored and state_from_trees(restored.trees, {})


def assert_is(state, value):
    expected = small_state(value)._replace(frozen={})
    chex.assert_trees_all_equal(jax.device_get(state), jax.device_get(expected))


@pytest.mark.parametrize("mesh", [MeshConfig(), MeshConfig(fsdp=8), MeshConfig(replica=4, fsdp=2)])
def test_the_newest_comes_back_on_any_mesh(folder, mesh):
    restored, state = restore(folder, mesh)
    assert (restored.step, restored.data) == (2, {"position": 16})
    assert_is(state, 2)
    shard = state.trainable["unet"]["temporal"]["kernel"].addressable_shards[0].data
    assert shard.size == 64 * 64 // mesh.fsdp


def test_a_relative_folder_is_the_same_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    restored, state = restore(folder.name)
    assert restored.step == 2
    assert_is(state, 2)


def newest_data(folder, tree="ema"):
    files = [path for path in (folder / "checkpoints" / "2" / tree).rglob("d/*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def truncate(folder):
    path = newest_data(folder)
    path.write_bytes(path.read_bytes()[:100])


def flip_a_bit(folder):
    path = newest_data(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def lose_a_file(folder):
    newest_data(folder, "training").unlink()


def lose_the_metadata(folder):
    (folder / "checkpoints" / "2" / "_CHECKPOINT_METADATA").unlink()


def nest(folder, name):
    (folder / "checkpoints" / "2" / name).write_text("[" * 100_000 + "]" * 100_000)


def nest_the_sharding(folder):
    nest(folder, "ema/_sharding")


def nest_the_tree(folder):
    nest(folder, "trainable/_METADATA")


def nest_the_first_description(folder):
    nest(folder, "_CHECKPOINT_METADATA")


def nest_an_array_s_description(folder):
    change_array(folder, lambda found: b"[" * 100_000)


def ask_for_a_chunk_beyond_the_memory(folder):
    def change(found):
        found["chunk_grid"]["configuration"]["chunk_shape"] = [2**40, 2**20]
        return json.dumps(found).encode()

    change_array(folder, change)


def change_array(folder, change):
    """Write another zarr.json into the database, as somebody with TensorStore can."""
    base = {"driver": "file", "path": f"{folder}/checkpoints/2/ema/"}
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
    name = next(name for name in store.list().result() if name.endswith(b"zarr.json"))
    store.write(name, change(json.loads(store.read(name).result().value))).result()


DAMAGE = [truncate, flip_a_bit, lose_a_file, lose_the_metadata, nest_the_sharding, nest_the_tree]
DAMAGE += [nest_the_first_description, nest_an_array_s_description]
DAMAGE += [ask_for_a_chunk_beyond_the_memory]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_gives_way_and_is_set_aside(folder, damage, caplog):
    damage(folder)
    with caplog.at_level("WARNING"):
        restored, state = restore(folder)
    assert restored.step == 1
    assert_is(state, 1)
    assert "checkpoint 2" in caplog.text
    assert (folder / "damaged" / "2").exists()
    assert not (folder / "checkpoints" / "2").exists()


@pytest.mark.parametrize("damage", [truncate, nest_the_first_description])
def test_a_reader_leaves_a_damaged_checkpoint_where_it_is(folder, damage):
    damage(folder)
    shapes = shapes_of(small_state(0), make_mesh())
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.restore({"ema": shapes.ema}).step == 1
    assert (folder / "checkpoints" / "2").exists()


def test_a_save_that_was_cut_off_is_not_a_checkpoint(folder):
    newest = folder / "checkpoints" / "2"
    newest.rename(folder / "checkpoints" / "2.orbax-checkpoint-tmp")
    assert restore(folder)[0].step == 1
    assert not newest.with_name("2.orbax-checkpoint-tmp").exists()


def test_when_all_are_damaged_nothing_is_moved(folder):
    for step in ("1", "2"):
        for path in (folder / "checkpoints" / step / "ema").rglob("d/*"):
            path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the checkpoints in") as caught:
        restore(folder)
    assert "\n" not in str(caught.value)
    assert (folder / "checkpoints" / "2").exists()


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    assert restore(tmp_path) == (None, None)


def test_frozen_weights_are_stored_once_and_checked(folder):
    state = small_state(2)
    shapes = shapes_of(state, make_mesh())
    with Checkpoints(folder, keep=3) as checkpoints:
        digest = checkpoints.restore(stored_trees(shapes)).frozen
        frozen = checkpoints.load_frozen(digest, shapes.frozen)
        chex.assert_trees_all_equal(frozen, state.frozen)
        assert checkpoints.save_frozen(state.frozen) == digest
        stored = folder / "frozen" / digest
        for path in stored.rglob("d/*"):
            path.write_bytes(b"")
        with pytest.raises(ValueError, match=r"frozen parameters in .* cannot be read"):
            checkpoints.load_frozen(digest, shapes.frozen)
