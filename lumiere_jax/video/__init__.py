"""Video files: reading, resampling, cutting, writing; uint8 [t, h, w, 3]. Imports no JAX.

frames, fps = read_video("street.mp4", fps=16, size=128, frames=80)
write_mp4("out.mp4", frames, fps, metadata=generated_by("lumiere-128"))
write_contact_sheet("out.png", [frames], captions=["a street"])
"""

from lumiere_jax.video.clips import ClipConfig, cut_clips
from lumiere_jax.video.contact_sheet import contact_sheet, write_contact_sheet
from lumiere_jax.video.cuts import find_cuts
from lumiere_jax.video.decode import open_video
from lumiere_jax.video.images import read_image
from lumiere_jax.video.limits import ReadLimits, VideoError
from lumiere_jax.video.new_file import (
    check_output,
    new_file,
    new_files,
    next_free,
    refuse_existing,
    refuse_full,
    replaced_file,
)
from lumiere_jax.video.pixel_values import from_uint8, to_uint8
from lumiere_jax.video.read import read_metadata, read_video
from lumiere_jax.video.resample import resample
from lumiere_jax.video.resize import resize_and_crop
from lumiere_jax.video.write import generated_by, write_gif, write_mp4

__all__ = [
    "ClipConfig",
    "ReadLimits",
    "VideoError",
    "check_output",
    "contact_sheet",
    "cut_clips",
    "find_cuts",
    "from_uint8",
    "generated_by",
    "new_file",
    "new_files",
    "next_free",
    "open_video",
    "read_image",
    "read_metadata",
    "read_video",
    "refuse_existing",
    "refuse_full",
    "replaced_file",
    "resample",
    "resize_and_crop",
    "to_uint8",
    "write_contact_sheet",
    "write_gif",
    "write_mp4",
]
