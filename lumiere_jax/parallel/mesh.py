"""The device mesh: always the same three axes, of size 1 if they are not used.

  replica   copies of the model, with rows of the batch; the only axis that crosses TPU slices
  fsdp      rows of the batch, and stored parameters (gathered when they are used)
  context   rows of pixels of every frame, or the windows of a clip; and stored parameters

Since every axis always exists, no sharding rule has to check for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from lumiere_jax.structure import check_fields

AXES = ("replica", "fsdp", "context")
BATCH_AXES = ("replica", "fsdp")


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Number of devices along each axis; one of them may be -1, for all remaining devices.

    By default everything is data-parallel: each device holds the whole model.

    Attributes:
      replica: copies of the model.
      fsdp: devices that divide the batch and the stored parameters.
      context: devices that divide the height of the frames inside the U-Net, or the windows of a
        clip in sampling, and the stored parameters.
    """

    replica: int = -1
    fsdp: int = 1
    context: int = 1

    def __post_init__(self):
        # No system has a million devices. `shape` refuses 0.
        check_fields(self, whole=dict.fromkeys(AXES, (-1, 1 << 20)))

    @classmethod
    def parse(cls, text: str, flag: str = "--mesh") -> MeshConfig:
        """Return the mesh of a flag such as `fsdp=2,context=4`; the other axes have one device.

        Args:
          text: axes and their numbers of devices; one of them may be -1, for all that are left.
          flag: name of the flag, for the error.

        Raises:
          ValueError: something else than an axis and a whole number.
        """
        sizes = dict.fromkeys(AXES, 1)
        for item in text.split(","):
            axis, equals, size = (part.strip() for part in item.partition("="))
            if axis not in sizes or not equals or not size.removeprefix("-").isdecimal():
                raise ValueError(
                    f"{flag}={text!r:.80}: {item!r:.40} is not one of {', '.join(AXES)} and a "
                    f"number; try {flag}=fsdp=-1"
                )
            sizes[axis] = int(size)
        return cls(**sizes)

    def shape(self, devices: int) -> tuple[int, int, int]:
        """Return the sizes of the three axes on `devices` devices.

        Raises:
          ValueError: the sizes do not multiply to the number of devices.
        """
        sizes = [getattr(self, axis) for axis in AXES]
        if any(size == 0 or size < -1 for size in sizes) or sizes.count(-1) > 1:
            raise ValueError(
                f"mesh={dict(zip(AXES, sizes))}: sizes are positive, and at most one is -1 "
                "(the rest); set e.g. --config.mesh.replica=-1"
            )
        known = math.prod(size for size in sizes if size != -1)
        if devices % known or (-1 not in sizes and known != devices):
            raise ValueError(
                f"mesh={dict(zip(AXES, sizes))} does not fit {devices} devices; "
                f"set --config.mesh.replica=-1 (--mesh=replica=-1) and the others to divisors of "
                f"{devices}"
            )
        return tuple(devices // known if size == -1 else size for size in sizes)


def make_mesh(
    config: MeshConfig | None = None, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Make the device mesh.

    On several TPU slices, `replica` crosses them: each slice holds its share of the copies, so that
    parameters and activations move over its own links alone.

    Args:
      config: number of devices along each axis; all of them are replicas when None.
      devices: devices of the mesh; all devices of all processes when None.

    Raises:
      ValueError: the axes do not multiply to the number of devices, or the replicas are not a
        multiple of the slices.
    """
    config = config or MeshConfig()
    devices = jax.devices() if devices is None else devices
    shape, slices = config.shape(len(devices)), count_slices(devices)
    # jax.make_mesh defaults to Explicit axes, under which Flax convolutions with sharded kernels
    # raise.
    types = (AxisType.Auto,) * len(AXES)
    if slices == 1:
        return jax.make_mesh(shape, AXES, axis_types=types, devices=devices)
    check_slices(shape, slices)
    replicas, *others = shape
    arranged = mesh_utils.create_hybrid_device_mesh(
        (replicas // slices, *others),
        (slices, 1, 1),
        devices,
        allow_split_physical_axes=True,
    )
    return Mesh(arranged, AXES, axis_types=types)


def count_slices(devices: Sequence[jax.Device]) -> int:
    """Return the number of TPU slices that devices belong to; 1 for any other kind.

    Args:
      devices: devices of a mesh.
    """
    # GPUs have the attribute too, for each machine; there any axis may cross the network.
    if devices[0].platform != "tpu":
        return 1
    return len({getattr(device, "slice_index", None) for device in devices})


def check_slices(shape: tuple[int, int, int], slices: int) -> None:
    """Raise a ValueError unless each slice can hold its share of the replicas.

    Args:
      shape: sizes of the three axes.
      slices: number of slices.
    """
    replicas, *others = shape
    if replicas % slices == 0:
        return
    total = math.prod(shape)
    context = others[1] if total // slices % others[1] == 0 else 1
    raise ValueError(
        f"mesh.replica={replicas} is not a multiple of the {slices} slices; set "
        f"--config.mesh.replica={slices} --config.mesh.fsdp={total // slices // context} "
        f"--config.mesh.context={context}"
    )
