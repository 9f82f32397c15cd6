"""The device mesh: always the same three axes, of size 1 if they are not used.

  replica   copies of the model, with rows of the batch; crosses slices and slow networks
  fsdp      rows of the batch, and stored parameters (gathered when they are used)
  context   rows of pixels of every frame, or the windows of a clip; and stored parameters

Since every axis always exists, no sharding rule has to check for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
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
                f"set --config.mesh.replica=-1 and the others to divisors of {devices}"
            )
        return tuple(devices // known if size == -1 else size for size in sizes)


def make_mesh(
    config: MeshConfig | None = None, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Make the device mesh.

    Args:
      config: number of devices along each axis; all of them are replicas when None.
      devices: devices of the mesh; all devices of all processes when None.

    Raises:
      ValueError: the axes do not multiply to the number of devices.
    """
    config = config or MeshConfig()
    devices = jax.devices() if devices is None else devices
    # jax.make_mesh defaults to Explicit axes, under which Flax convolutions with sharded kernels
    # raise.
    return jax.make_mesh(
        config.shape(len(devices)), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices
    )
