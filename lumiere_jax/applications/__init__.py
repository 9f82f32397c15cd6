"""What Lumiere is used for, one file each: a request becomes (text, observed, mask, start)."""

from lumiere_jax.applications.text_to_video import text_to_video

__all__ = ["text_to_video"]
