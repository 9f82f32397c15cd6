"""A stage of the cascade: one network, sampled in one compiled program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from lumiere_jax.diffusion.denoiser import compose, denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.frames import rewrite
from lumiere_jax.diffusion.multidiffusion import Tiles, Windows
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.diffusion.sampling import Hooks, sample
from lumiere_jax.models.network import Network, Params
from lumiere_jax.sampling.low_resolution import check_low_resolution, long_refine_conditions
from lumiere_jax.sampling.planning import composition, tiles_over, windows_over
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.text.text import Text

Preview = Callable[[int, np.ndarray], None]


class Stage:
    """A network with its parameters and settings.

    Attributes:
      name: name in the model folder: "base", "ssr", ….
      network: network of the stage.
      params: parameters of the network.
      settings: geometry, diffusion and default sampler.
      progress: callback with the number of each finished step.
      preview: callback with that number and the clean estimate, if previews are requested.
    """

    def __init__(self, name: str, network: Network, params: Params, settings: StageConfig):
        self.name, self.network, self.params, self.settings = name, network, params, settings
        self.progress: Callable[[int], None] = lambda step: None
        self.preview: Preview = lambda step, clip: None
        static = ("sampler", "frames", "strength", "told", "preview_every")
        self._compiled = jax.jit(self._run, static_argnames=static)

    def with_config(self, **changes: Any) -> Stage:
        """Return the network under other settings, such as `window=8`."""
        settings = dataclasses.replace(self.settings, **changes)
        return Stage(self.name, self.network, self.params, settings)

    @property
    def refines(self) -> bool:
        """Return True if the stage needs a low-resolution clip."""
        return self.network.config.low_resolution

    def sample(
        self,
        keys: Key[Array, "b"],
        text: Text | None,
        null: Text | None,
        *,
        frames: int,
        low_resolution: Float[Array, "b t i j c"] | None = None,
        observed: Float[Array, "b t h w c"] | None = None,
        mask: Float[Array, "b t h w 1"] | None = None,
        source: Float[Array, "b t h w c"] | None = None,
        window_texts: Text | None = None,
        strength: float = 1.0,
        told: bool = True,
        params: Params | None = None,
        sampler: SamplerConfig | None = None,
        preview_every: int = 0,
    ) -> Float[Array, "b t h w c"]:
        """Sample clean clips in [−1, 1].

        Under `jax.set_mesh`, groups of windows are divided over the axis `context` of the mesh.

        Args:
          keys: random key of each clip; a clip does not depend on the others of its batch.
          text: embeddings of the prompts; None for a model without text.
          null: embeddings of the negative prompts; None for a model without text.
          frames: frames of each clip.
          low_resolution: clip to refine, in [−1, 1], at any size; needed if the stage `refines`.
          observed: observed video at this stage's size.
          mask: 1 where `observed` is known.
          source: source video to start from, noised to `strength` (SDEdit).
          window_texts: text of each window, [n, b, l, d], for several shots that fade into one
            another.
          strength: noise level of the start, in (0, 1]; see `diffusion.sample`.
          told: True to pass the observed video to a network that reads one. Its pixels are held in
            either case.
          params: parameters to use instead of the stage's own.
          sampler: sampler to use instead of the default.
          preview_every: steps between two calls of `preview`; 0 for none.

        Raises:
          ValueError: a low-resolution clip of another size than the stage refines, or windows and
            tiles that do not fit the clip or the network.
        """
        if self.network.config.text_dim is None:
            text = null = window_texts = None
        if low_resolution is not None:
            check_low_resolution(low_resolution, self.settings, self.name)
        arrays = (text, null, low_resolution, observed, mask, source, window_texts)
        return self._compiled(
            self.params if params is None else params,
            keys,
            arrays,
            sampler=sampler or self.settings.sampler,
            frames=frames,
            strength=strength,
            told=told,
            preview_every=preview_every,
        )

    def plan(self, frames: int) -> Windows:
        """Return the windows over a clip of some frames, see `planning.windows_over`."""
        return windows_over(frames, self.settings, self.network.config, self.name)

    def plan_tiles(self, height: int, width: int) -> Tiles | None:
        """Return the tiles over frames of some size, see `planning.tiles_over`."""
        return tiles_over(height, width, self.settings, self.network.config, self.name)

    def _run(self, params, keys, arrays, *, sampler, frames, strength, told, preview_every):
        text, null, low_resolution, observed, mask, source, window_texts = arrays
        diffusion, network = self.settings.diffusion, self.network
        shape = self._shape(frames, observed, source, low_resolution)
        noise_keys, step_keys, augmentation_keys = (folded(keys, i) for i in range(3))
        conditions = Conditions(text, observed=observed, mask=mask)
        if self.refines:
            given = long_refine_conditions(
                low_resolution,
                frame_noise(augmentation_keys, shape),
                shape,
                network.config,
                self.settings,
            )
            conditions = conditions._replace(**given)
        shown = told and network.config.observed
        plans = self.plan(shape[0]), self.plan_tiles(*shape[1:3])
        denoise = compose(
            denoiser_from_network(network.apply, params, diffusion, observe=shown),
            diffusion,
            sampler,
            null=null,
            texts=window_texts,
            **composition(*plans, self.settings, fade=window_texts is not None),
        )
        return sample(
            denoise,
            normal(noise_keys, shape),
            conditions,
            diffusion,
            sampler,
            source=source,
            strength=strength,
            noise_at=lambda step: frame_noise(folded(step_keys, step), shape),
            hooks=self._hooks(preview_every),
        )

    def _shape(self, frames: int, *given) -> tuple[int, int, int, int]:
        """Return the shape [t, h, w, c] of one clip, with the aspect ratio of the given clips."""
        size, channels = self.settings.size, self.network.config.in_channels
        given = [clip for clip in given if clip is not None]
        if not given:
            return frames, size, size, channels
        height, width = given[0].shape[2:4]
        short = min(height, width)
        return frames, height * size // short, width * size // short, channels

    def _hooks(self, preview_every: int) -> Hooks:
        # The compiled program keeps these two functions: they look up the current callbacks.
        preview = (lambda step, clip: self.preview(step, clip)) if preview_every else None
        return Hooks(
            progress=lambda step: self.progress(step), preview=preview, every=preview_every or 1
        )


def normal(keys: Key[Array, "b"], shape: tuple[int, int, int, int]) -> Float[Array, "b t h w c"]:
    """Draw standard normal clips, one per key.

    Drawing takes several times the memory of its result, so it goes frame by frame; and a frame's
    noise does not depend on the number of frames after it.

    Args:
      keys: random key of each clip.
      shape: [t, h, w, c] of one clip.
    """
    drawn = frame_noise(keys, shape)
    return rewrite(lambda _, __, number: drawn(number), jnp.zeros((len(keys), *shape)))


def frame_noise(
    keys: Key[Array, "b"], shape: tuple[int, int, int, int]
) -> Callable[[Array], Float[Array, "b h w c"]]:
    """Return a function from a frame's number to that frame of the clips that `normal` draws.

    Args:
      keys: random key of each clip.
      shape: [t, h, w, c] of one clip.
    """

    def drawn(number):
        return jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(folded(keys, number))

    return drawn


def folded(keys: Key[Array, "b"], number: Array | int) -> Key[Array, "b"]:
    """Return a further key from each.

    Args:
      keys: random keys.
      number: number of the further key.
    """
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
