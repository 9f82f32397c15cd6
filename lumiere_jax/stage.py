"""One stage of the cascade: a network with what it takes to sample from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from lumiere_jax.diffusion import (
    Conditions,
    Denoise,
    DiffusionConfig,
    Hooks,
    SamplerConfig,
    Tiles,
    Windows,
    compose,
    denoiser_from_network,
    plan_tiles,
    plan_windows,
    sample,
    window_weights,
)
from lumiere_jax.models import Network, Params, UNetConfig
from lumiere_jax.models.ssr import Upsampling, upsample
from lumiere_jax.text import Text

Preview = Callable[[int, np.ndarray], None]

WINDOW_AXIS = "context"
"""Mesh axis that groups of windows are spread over."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageSettings:
    """How a stage was trained, and how it is sampled unless told otherwise.

    Attributes:
      diffusion: its schedule and prediction.
      sampler: default sampler.
      frames: of the clips that it was trained on; more are made window by window.
      size: pixels a side of its output.
      overlap: frames that neighbouring windows share (Lumiere, section 3.2: 2).
      window: frames of a window; `frames` when None.
      weights: of the windows' opinions: "uniform", "ramp" or "gaussian".
      group: windows denoised at a time.
      augmentation: noise level of the low-resolution clip, in [0, 1); level / 1000 of IF.
      upsampling: how the low-resolution clip is brought to `size`.
      factor: `size` over that of the low-resolution clips it was trained on; any when None.
      tile: pixels a side of the squares that frames are denoised in; whole frames when None.
      tile_overlap: pixels that neighbouring tiles share.
    """

    diffusion: DiffusionConfig
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    frames: int
    size: int
    overlap: int = 2
    window: int | None = None
    weights: str = "uniform"
    group: int = 1
    augmentation: float = 0.2
    upsampling: Upsampling = "half_pixel"
    factor: int | None = None
    tile: int | None = None
    tile_overlap: int = 32


class Stage:
    """Samples clips from one network.

    Attributes:
      name: in the model folder: "base", "ssr", ….
      network, params, settings: see there.
      listener: gets the step's number, and the clean estimate where previews are asked for.
    """

    def __init__(self, name: str, network: Network, params: Params, settings: StageSettings):
        self.name, self.network, self.params, self.settings = name, network, params, settings
        self.progress: Callable[[int], None] = lambda step: None
        self.preview: Preview = lambda step, clip: None
        static = ("sampler", "frames", "strength", "told", "preview_every")
        self._compiled = jax.jit(self._run, static_argnames=static)

    def with_settings(self, **changes: Any) -> Stage:
        """The same network under other settings, such as `window=8`."""
        settings = dataclasses.replace(self.settings, **changes)
        return Stage(self.name, self.network, self.params, settings)

    @property
    def refines(self) -> bool:
        """Whether this stage needs a low-resolution clip."""
        return self.network.config.low_resolution

    def sample(
        self,
        keys: Key[Array, "b"],
        text: Text | None,
        null: Text | None,
        *,
        frames: int,
        low_resolution: Float[Array, "b t h w c"] | None = None,
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
        """Clean clips in [−1, 1].

        Where `jax.set_mesh` has set a mesh, groups of windows are spread over its axis `context`.

        Args:
          keys: a random key a clip; a clip does not depend on which others are made with it.
          text, null: of the prompts and of the negative prompts; None for a model without text.
          frames: of each clip.
          low_resolution: the clip to refine, [−1, 1], at any size; where `refines`.
          observed, mask: what is known of the result, at this stage's size.
          source: a clip to start from, noised to `strength` (SDEdit).
          window_texts: a text for each window [n, b, l, d]: several shots in one clip, which fade
            into one another.
          strength: in (0, 1]; see `diffusion.sample`.
          told: a network that reads observed videos is shown this one. Held are its pixels anyway.
          params: instead of the stage's own.
          sampler: instead of the settings' own.
          preview_every: steps between two calls of `preview`; 0 for none.

        Raises:
          ValueError: a low-resolution clip of another size than the stage refines, or windows and
            tiles that do not fit the clip or the network.
        """
        if self.network.config.text_dim is None:
            text = null = window_texts = None
        if low_resolution is not None:
            self._check_low_resolution(low_resolution)
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
        """The windows over a clip of that many frames; one when it fits into a single one.

        Raises:
          ValueError: frames or a window that the network's temporal factor does not divide, a
            window longer than the clip, or an overlap as long as the window.
        """
        settings, factor = self.settings, self.network.config.temporal_factor
        window = settings.window or min(settings.frames, frames)
        fitting = max(factor, min(window, frames) // factor * factor)
        if window % factor:
            flag = f"--frames={frames}" if settings.window is None else f"--window={window}"
            raise ValueError(
                f"{flag}: stage {self.name!r} works on windows of {window} frames, "
                f"which its temporal factor {factor} does not divide; {fitting} would do"
            )
        if window > frames:
            raise ValueError(
                f"--window={window}: stage {self.name!r} gets a clip of {frames} frames only; "
                f"use --window={fitting}"
            )
        return plan_windows(frames, window, settings.overlap if window < frames else 0)

    def plan_tiles(self, height: int, width: int) -> Tiles | None:
        """The tiles over frames of that size; None where they are denoised whole.

        Raises:
          ValueError: tiles, or whole frames, that the network's spatial factor does not divide.
        """
        settings, factor = self.settings, self.network.config.spatial_factor
        tile = settings.tile or max(height, width)
        sides = (min(tile, height), min(tile, width))
        if any(side % factor for side in sides):
            flag = f"--tile={tile}" if settings.tile else f"frames of {width}×{height} pixels"
            fitting = max(factor, min(tile, height, width) // factor * factor)
            raise ValueError(
                f"{flag}: stage {self.name!r} works on multiples of {factor} pixels a side; "
                f"use --tile={fitting}"
            )
        if sides == (height, width):
            return None
        return plan_tiles(height, width, tile, settings.tile_overlap)

    def _run(self, params, keys, arrays, *, sampler, frames, strength, told, preview_every):
        text, null, low_resolution, observed, mask, source, window_texts = arrays
        settings, diffusion = self.settings, self.settings.diffusion
        shape = self._shape(frames, observed, source, low_resolution)
        noise_key, step_key, augmentation_key = (
            jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in range(3)
        )
        conditions = Conditions(text, observed=observed, mask=mask)
        if self.refines:
            noise = _normal(augmentation_key, shape)
            level = jnp.full(noise.shape[:1], settings.augmentation, jnp.float32)
            given = refine_conditions(
                low_resolution, noise, level, self.network.config, diffusion, settings.upsampling
            )
            conditions = conditions._replace(**given)
        denoise = compose(
            self._predictor(params, told and observed is not None),
            diffusion,
            sampler,
            null=null,
            texts=window_texts,
            group=settings.group,
            **self._plans(shape, settings.weights if window_texts is None else "ramp"),
        )
        return sample(
            denoise,
            _normal(noise_key, shape),
            conditions,
            diffusion,
            sampler,
            source=source,
            strength=strength,
            noise_at=lambda step: _normal(
                jax.vmap(lambda key: jax.random.fold_in(key, step))(step_key), shape
            ),
            hooks=self._hooks(preview_every),
        )

    def _predictor(self, params, shown: bool) -> Denoise:
        """The network as a denoiser.

        Where it reads observed videos and is shown none, it reads a blank one, as it did in
        training: leaving the convolution out would leave its bias out.
        """
        reads, apply = self.network.config.observed, self.network.apply
        if reads and not shown:
            apply = _blank_observation(apply)
        return denoiser_from_network(
            apply, params, self.settings.diffusion, observe=reads and shown
        )

    def _shape(self, frames: int, *given) -> tuple[int, int, int, int]:
        """Of one clip; not square where the first of what is given is not."""
        size, channels = self.settings.size, self.network.config.in_channels
        given = [clip for clip in given if clip is not None]
        if not given:
            return frames, size, size, channels
        height, width = given[0].shape[2:4]
        short = min(height, width)
        return frames, height * size // short, width * size // short, channels

    def _plans(self, shape: tuple[int, int, int, int], kind: str) -> dict[str, Any]:
        """Windows and tiles over a clip, their weights, and the mesh axis they are spread over."""
        windows, tiles = self.plan(shape[0]), self.plan_tiles(*shape[1:3])
        spread = dict(jax.sharding.get_abstract_mesh().shape).get(WINDOW_AXIS, 1) > 1
        plans = {
            "window_plan": windows,
            "window_weights": window_weights(windows, kind),
            "mesh_axis": WINDOW_AXIS if spread else None,
        }
        if tiles is None:
            return plans
        weights = window_weights(tiles.rows, kind), window_weights(tiles.columns, kind)
        return plans | {"tile_plan": tiles, "tile_weights": weights}

    def _check_low_resolution(self, clip) -> None:
        settings, short = self.settings, min(clip.shape[2:4])
        if settings.factor is None or short * settings.factor == settings.size:
            return
        wanted = settings.size // settings.factor
        raise ValueError(
            f"--upscale: a clip of {short} pixels on the short side; stage {self.name!r} takes "
            f"{wanted} and makes {settings.size}: resize the clip to {wanted}"
        )

    def _hooks(self, preview_every: int) -> Hooks:
        # The compiled program keeps these two: they look up who listens at the moment.
        preview = (lambda step, clip: self.preview(step, clip)) if preview_every else None
        return Hooks(
            progress=lambda step: self.progress(step), preview=preview, every=preview_every or 1
        )


def refine_conditions(
    clip: Float[Array, "b t i j c"],
    noise: Float[Array, "b t h w c"],
    level: Float[Array, "b"],
    config: UNetConfig,
    diffusion: DiffusionConfig,
    upsampling: Upsampling,
) -> dict[str, Array]:
    """What a super-resolution network is told of a low-resolution clip, as keywords of `apply`.

    The clip at the size of `noise` and noised to `level`, and that level where the network embeds
    it (Saharia et al. 2022, section 2.4: noise conditioning augmentation). The noise is one field
    for the whole clip, so that windows agree on what they are given.
    """
    height, width = noise.shape[2:4]
    clip = upsample(clip, height, width, upsampling)
    given = {"low_resolution": diffusion.add_noise(clip, noise, level)}
    return given | ({"augmentation": level} if config.augmentation else {})


def _blank_observation(apply):
    def told_nothing(params, x, time, text, **given):
        blank = jnp.zeros_like(x)
        return apply(params, x, time, text, observed=blank, mask=blank[..., :1], **given)

    return told_nothing


def _normal(keys: Key[Array, "b"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Standard normal clips, drawn frame by frame.

    Drawing takes several times the memory of what is drawn, which for a whole clip would be the
    peak of the program. And a frame's noise does not depend on how many come after it.
    """

    def frame(number):
        own = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
        return jax.vmap(lambda key: jax.random.normal(key, shape[1:]))(own)

    return jnp.moveaxis(jax.lax.map(frame, jnp.arange(shape[0])), 0, 1)
