"""What the conditional model is shown of a training clip (Lumiere, section 4)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

Video = Float[Array, "b t h w c"]


def observe(
    clean: Video, batch: dict[str, Any]
) -> tuple[Video, Video | None, Float[Array, "b t h w 1"] | None]:
    """The clip to learn, the observed video C and its mask M; C and M None without masks.

    The clip to learn agrees with C wherever M is 1. For a cinemagraph that makes it the still
    outside of the region, as it is when sampling, where those pixels are held: the model always
    finds there what M promises.

    Args:
      clean: the clip in [-1, 1].
      batch: "mask" bool [b, t, h, w, 1], and "still" bool [b], whether the observed video is the
        clip's first frame, repeated.
    """
    if "mask" not in batch:
        return clean, None, None
    mask = batch["mask"]
    still = batch["still"].reshape(-1, 1, 1, 1, 1)
    shown = jnp.where(still, clean[:, :1], clean)
    observed = jnp.where(mask, shown, 0)
    return jnp.where(mask, shown, clean), observed, mask.astype(clean.dtype)
