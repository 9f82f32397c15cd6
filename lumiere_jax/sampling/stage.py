"""A stage of the cascade: one network, sampled in one compiled program."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Key

from lumiere_jax.diffusion.denoiser import compose, denoiser_from_network
from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.frames import rewrite
from lumiere_jax.diffusion.multidiffusion import Tiles, Windows
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.diffusion.sampling import Hooks, sample
from lumiere_jax.models.network import Network, Params
from lumiere_jax.parallel.mesh import AXES, BATCH_AXES
from lumiere_jax.parallel.rows import map_rows
from lumiere_jax.parallel.sharding import Layout, divisions_of, layout_of
from lumiere_jax.sampling.low_resolution import check_low_resolution, long_refine_conditions
from lumiere_jax.sampling.planning import composition, tiles_over, windows_over
from lumiere_jax.sampling.stage_config import StageConfig
from lumiere_jax.text.text import Text

CONTEXT = "context"
Preview = Callable[[int, Array], None]


class Stage:
    """A network with its parameters and settings.

    Attributes:
      name: name in the model folder: "base", "ssr", ….
      network: network of the stage.
      params: parameters of the network.
      settings: geometry, diffusion and default sampler.
      mesh: devices to sample on; the default device when None.
      progress: callback with the number of each finished step.
      preview: callback with that number and the clean estimate, if previews are requested; see
        `diffusion.Hooks`.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        params: Params,
        settings: StageConfig,
        mesh: Mesh | None = None,
    ):
        self.name, self.network, self.params, self.settings = name, network, params, settings
        self.mesh = mesh
        self.progress: Callable[[int], None] = lambda step: None
        self.preview: Preview = lambda step, clip: None
        static = ("sampler", "frames", "strength", "told", "preview_every", "layout")
        self._compiled = jax.jit(self._run, static_argnames=static)

    def with_config(self, **changes: Any) -> Stage:
        """Return the network under other settings, such as `window=8`."""
        settings = dataclasses.replace(self.settings, **changes)
        return Stage(self.name, self.network, self.params, settings, self.mesh)

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

        On a mesh, clips are divided over `replica` and `fsdp`. The axis `context` divides groups of
        windows if the clip has several, and the height of the frames inside the network otherwise.

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
        if window_texts is not None:  # rows first, as everything that devices divide
            window_texts = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), window_texts)
        params = self.params if params is None else params
        return self._compiled(
            params,
            null,
            (keys, text, low_resolution, observed, mask, source, window_texts),
            layout=Layout() if self.mesh is None else layout_of(divisions_of(params)),
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

    def _run(self, params, null, rows, *, layout: Layout, **options):
        """Sample the rows of a batch, on the mesh if there is one."""
        if self.mesh is None:
            return self._sample_rows(self.network, None, (params, null), rows, **options)
        options["count"] = len(rows[0])
        mesh_axis = None
        if self.mesh.shape[CONTEXT] > 1:
            frames = options["frames"]
            if len(self.plan(frames)) > 1:
                mesh_axis = CONTEXT
            else:
                layout = dataclasses.replace(layout, rows=CONTEXT)
        local = functools.partial(
            self._sample_rows, self.network.with_layout(layout), mesh_axis, **options
        )
        whole = (layout.specs(params), P())
        return map_rows(local, self.mesh, whole)((params, null), rows)

    def _sample_rows(
        self,
        network,
        mesh_axis,
        whole,
        rows,
        *,
        sampler,
        frames,
        strength,
        told,
        preview_every,
        count: int | None = None,
    ):
        (params, null), diffusion = whole, self.settings.diffusion
        keys, text, low_resolution, observed, mask, source, window_texts = rows
        if window_texts is not None:
            window_texts = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), window_texts)
        shape = self._shape(frames, observed, source, low_resolution)
        noise_keys, step_keys, augmentation_keys = (folded(keys, i) for i in range(3))
        conditions = Conditions(text, observed=observed, mask=mask)
        if self.refines:
            given: dict[str, Any] = long_refine_conditions(
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
            **composition(
                *plans, self.settings, fade=window_texts is not None, mesh_axis=mesh_axis
            ),
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
            hooks=self._hooks(preview_every, count),
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

    def _hooks(self, preview_every: int, count: int | None) -> Hooks:
        """Return the callbacks; on a mesh, the first device calls, with all `count` clips."""
        # The compiled program keeps these functions: they look up the current callbacks.
        preview = (lambda step, clips: self.preview(step, clips)) if preview_every else None
        hooks = Hooks(
            progress=lambda step: self.progress(step), preview=preview, every=preview_every or 1
        )
        if self.mesh is None:
            return hooks
        return dataclasses.replace(
            hooks,
            only=lambda: jax.lax.axis_index(AXES) == 0,
            gather=lambda clips: jax.lax.all_gather(clips, BATCH_AXES, tiled=True)[:count],
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
