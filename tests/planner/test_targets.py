"""Flags that name devices: every mistake is one line with values that work."""

import pytest

from lumiere_jax.parallel.mesh import MeshConfig
from lumiere_jax.planner.chips import CHIPS
from lumiere_jax.planner.targets import local_target, read_mesh, read_topology


@pytest.mark.parametrize(
    ("text", "count", "slices", "memory"),
    [
        ("v5p:4x4x8", 128, 1, 95.0),
        ("v5e:16x16", 256, 1, 15.75),
        ("v5e:4x4x2s", 32, 2, 15.75),
        ("v5p:2x2x2x4s", 32, 4, 95.0),
        ("tpu7x:2x2x1", 8, 1, 94.74),  # two devices a chip
        ("v5p:8x16x24", 3072, 1, 95.0),
    ],
)
def test_a_topology_is_read(text, count, slices, memory):
    target = read_topology(text)
    assert (target.count, target.slices, target.memory_gib) == (count, slices, memory)


def test_slices_are_also_a_flag():
    assert read_topology("v6e:8x8", slices=2) == read_topology("v6e:8x8x2s")
    assert str(read_topology("v6e:8x8x2s")) == "v6e:8x8, 2 slices"


@pytest.mark.parametrize("text", ["v9:2x2", "v5:4x4", "", "h100"])
def test_an_unknown_generation_lists_the_known_ones(text):
    with pytest.raises(ValueError, match=rf"^--topology={text} is not known") as caught:
        read_topology(text)
    assert all(f"{name}:" in str(caught.value) for name in CHIPS)
    read_topology(str(caught.value).rpartition("--topology=")[2])


@pytest.mark.parametrize(
    "text", ["v5e:3x3", "v5e", "v5e:4x4x4", "v5p:4x4", "v5p:3x4x4", "v5p:8x4x4", "v5p:4x4x28"]
)
def test_an_unknown_shape_lists_the_known_ones(text):
    with pytest.raises(ValueError, match=r"slices of v5[ep] have the shapes (1x1|2x2x1)") as caught:
        read_topology(text)
    read_topology(str(caught.value).rpartition("--topology=")[2])


@pytest.mark.parametrize(
    ("flag", "call"),
    [
        ("--slices", lambda: read_topology("v5e:2x2", slices=0)),
        ("--devices", lambda: local_target(0)),
        ("--memory_gib", lambda: local_target(8, float("nan"))),
    ],
)
def test_a_number_out_of_range_names_its_flag(flag, call):
    with pytest.raises(ValueError, match=rf"^{flag}=\S+ lies outside .*; try "):
        call()


@pytest.mark.parametrize(
    ("text", "slices", "expected"),
    [
        ("fsdp=4,context=2", 1, MeshConfig(replica=1, fsdp=4, context=2)),
        ("fsdp=-1", 1, MeshConfig(replica=1, fsdp=-1)),
        ("fsdp=-1, context=2", 2, MeshConfig(replica=2, fsdp=-1, context=2)),
        ("replica=4,fsdp=4", 2, MeshConfig(replica=4, fsdp=4)),
    ],
)
def test_a_mesh_is_read(text, slices, expected):
    assert read_mesh(text, slices) == expected


def test_a_mesh_that_is_none_shows_one():
    with pytest.raises(ValueError, match=r"^--mesh='fdsp=4': .* try --mesh=fsdp=-1$"):
        read_mesh("fdsp=4")


def test_a_mesh_that_does_not_divide_the_devices_is_refused():
    target = read_topology("v5e:2x2")
    with pytest.raises(ValueError, match=r"does not fit 4 devices; set --config\.mesh\.replica=-1"):
        target.shape(MeshConfig(fsdp=3))
    with pytest.raises(ValueError, match=r"replica=1 is not a multiple of the 2 slices; set"):
        read_topology("v5e:2x2x2s").shape(MeshConfig(replica=1, fsdp=8))
    assert dict(target.abstract_mesh(MeshConfig(fsdp=2)).shape) == {
        "replica": 2,
        "fsdp": 2,
        "context": 1,
    }


def test_every_generation_has_plausible_figures():
    for chip in CHIPS.values():
        assert 10 < chip.memory_gib < 100
        # An operation a byte of memory, a byte of memory a byte of link: each is scarcer.
        assert chip.flops > 10 * chip.memory_rate > 10 * chip.link_rate > 100 * chip.network_rate
        assert all(chip.has(tuple(map(int, shape.split("x")))) for shape in chip.examples)
