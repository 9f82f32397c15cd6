"""The mesh has three axes for any number of devices."""

import jax
import pytest

from lumiere_jax.parallel import AXES, MeshConfig, make_mesh


def test_by_default_every_device_is_a_replica():
    mesh = make_mesh()
    assert mesh.axis_names == AXES
    assert dict(mesh.shape) == {"replica": 8, "fsdp": 1, "context": 1}


def test_minus_one_is_the_rest():
    assert MeshConfig(fsdp=4).shape(8) == (2, 4, 1)
    assert MeshConfig(replica=2, fsdp=-1, context=2).shape(16) == (2, 4, 2)
    assert MeshConfig(replica=1).shape(1) == (1, 1, 1)


def test_axes_are_auto():
    assert set(make_mesh().axis_types) == {jax.sharding.AxisType.Auto}


@pytest.mark.parametrize(
    "config",
    [
        MeshConfig(fsdp=3),
        MeshConfig(replica=2, fsdp=2),
        MeshConfig(fsdp=-1),
        MeshConfig(context=0),
    ],
)
def test_a_mesh_that_does_not_fit_names_the_flag(config):
    with pytest.raises(ValueError, match=r"--config\.mesh\.replica=-1"):
        config.shape(8)
