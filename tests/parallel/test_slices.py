"""On several TPU slices the axis replica crosses them, and no other axis does."""

import dataclasses
import itertools

import numpy as np
import pytest

from lumiere_jax.parallel.mesh import MeshConfig, check_slices, count_slices, make_mesh


@dataclasses.dataclass(frozen=True)
class FakeDevice:
    """A TPU device that exists nowhere, with what JAX orders devices by."""

    id: int
    slice_index: int
    coords: tuple[int, int, int]
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"
    core_on_chip: int = 0
    process_index: int = 0


def slices(count, *, order=1):
    """Return the devices of slices of 2×2 chips, in a shuffled order if `order` is not 1."""
    places = itertools.product(range(count), range(2), range(2))
    devices = [FakeDevice(i, s, (x, y, 0)) for i, (s, x, y) in enumerate(places)]
    return [devices[i * order % len(devices)] for i in range(len(devices))]


def slice_of(mesh):
    return np.vectorize(lambda device: device.slice_index)(mesh.devices)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (MeshConfig(replica=2, fsdp=4), (2, 4, 1)),
        (MeshConfig(replica=4, fsdp=-1), (4, 2, 1)),
        (MeshConfig(replica=-1, fsdp=2, context=2), (2, 2, 2)),
        (MeshConfig(), (8, 1, 1)),
    ],
)
@pytest.mark.parametrize("order", [1, 3])
def test_only_replicas_cross_slices(config, shape, order):
    mesh = make_mesh(config, slices(2, order=order))
    assert mesh.devices.shape == shape
    assert len(set(mesh.devices.flat)) == 8
    for first, replica in enumerate(slice_of(mesh)):
        assert set(replica.flat) == {first // (shape[0] // 2)}


def test_replicas_that_do_not_divide_over_slices_are_refused_with_sizes_that_do():
    line = (
        r"^mesh\.replica=1 is not a multiple of the 2 slices; set --config\.mesh\.replica=2 "
        r"--config\.mesh\.fsdp=4 --config\.mesh\.context=1$"
    )
    with pytest.raises(ValueError, match=line):
        make_mesh(MeshConfig(replica=1, fsdp=-1), slices(2))
    make_mesh(MeshConfig(replica=2, fsdp=4, context=1), slices(2))
    with pytest.raises(ValueError, match=r"fsdp=2 --config\.mesh\.context=2$"):
        make_mesh(MeshConfig(replica=1, fsdp=4, context=2), slices(2))


@pytest.mark.parametrize("shape", [(3, 4, 1), (1, 2, 6), (5, 1, 12)])
@pytest.mark.parametrize("count", [2, 4])
def test_the_suggested_sizes_fit(shape, count):
    total = int(np.prod(shape))
    with pytest.raises(ValueError, match="slices; set") as caught:
        check_slices(shape, count)
    sizes = [int(word.partition("=")[2]) for word in str(caught.value).split()[-3:]]
    assert int(np.prod(sizes)) == total
    check_slices(tuple(sizes), count)


def test_devices_of_another_kind_have_no_slices():
    machines = [dataclasses.replace(device, platform="gpu") for device in slices(2)]
    assert count_slices(machines) == 1
    assert count_slices(slices(3)) == 3
