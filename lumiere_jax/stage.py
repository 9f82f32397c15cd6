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
    DiffusionConfig,
    Hooks,
    SamplerConfig,
    compose,
    denoiser_from_network,
    plan_windows,
    sample,
    window_weights,
)
from lumiere_jax.models import Network, Params
from lumiere_jax.models.ssr import Upsampling, upsample
from lumiere_jax.text import Text

Preview = Callable[[int, np.ndarray], None]


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
        self._compiled = jax.jit(
            self._run, static_argnames=("sampler", "frames", "strength", "preview_every")
        )

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
        sampler: SamplerConfig | None = None,
        preview_every: int = 0,
    ) -> Float[Array, "b t h w c"]:
        """Clean clips in [−1, 1].

        Args:
          keys: a random key a clip; a clip does not depend on which others are made with it.
          text, null: of the prompts and of the negative prompts; None for a model without text.
          frames: of each clip.
          low_resolution: the clip to refine, [−1, 1], at any size; where `refines`.
          observed, mask: what is known of the result, at this stage's size.
          source: a clip to start from, noised to `strength` (SDEdit).
          window_texts: a text for each window [n, b, l, d]: several shots in one clip.
          strength: in (0, 1]; see `diffusion.sample`.
          sampler: instead of the settings' own.
          preview_every: steps between two calls of `preview`; 0 for none.
        """
        arrays = (text, null, low_resolution, observed, mask, source, window_texts)
        return self._compiled(
            self.params,
            keys,
            arrays,
            sampler=sampler or self.settings.sampler,
            frames=frames,
            strength=strength,
            preview_every=preview_every,
        )

    def plan(self, frames: int):
        """The windows over a clip of that many frames; one when it fits into a single one.

        Raises:
          ValueError: frames or a window that the network's temporal factor does not divide.
        """
        settings, factor = self.settings, self.network.config.temporal_factor
        window = min(settings.window or settings.frames, frames)
        if window % factor:
            raise ValueError(
                f"--frames={frames}: stage {self.name!r} works on windows of {window} frames, "
                f"which its temporal factor {factor} does not divide; "
                f"{max(factor, window // factor * factor)} would do"
            )
        return plan_windows(frames, window, settings.overlap if window < frames else 0)

    def _run(self, params, keys, arrays, *, sampler, frames, strength, preview_every):
        text, null, low_resolution, observed, mask, source, window_texts = arrays
        settings, diffusion = self.settings, self.settings.diffusion
        shape = self._shape(frames, low_resolution, observed)
        noise_key, step_key, augmentation_key = (
            jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys) for i in range(3)
        )
        conditions = Conditions(text, observed=observed, mask=mask)
        if self.refines:
            noise = _normal(augmentation_key, shape)
            conditions = conditions._replace(**self._augmented(low_resolution, noise))
        plan = self.plan(frames)
        predict = denoiser_from_network(
            self.network.apply, params, diffusion, observe=self.network.config.observed
        )
        denoise = compose(
            predict,
            diffusion,
            sampler,
            null=null,
            window_plan=plan,
            window_weights=window_weights(plan, settings.weights),
            texts=window_texts,
            group=settings.group,
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

    def _shape(self, frames: int, low_resolution, observed) -> tuple[int, int, int, int]:
        """Of one clip; not square where what is given is not."""
        size, channels = self.settings.size, self.network.config.in_channels
        given = observed if observed is not None else low_resolution
        if given is None:
            return frames, size, size, channels
        height, width = given.shape[2:4]
        short = min(height, width)
        return frames, height * size // short, width * size // short, channels

    def _augmented(self, low_resolution, noise) -> dict[str, Any]:
        """The low-resolution clip at this stage's size and noised, one field for the whole clip."""
        settings = self.settings
        clip = upsample(low_resolution, *noise.shape[2:4], settings.upsampling)
        level = jnp.full(noise.shape[:1], settings.augmentation, jnp.float32)
        given = {"low_resolution": settings.diffusion.add_noise(clip, noise, level)}
        return given | ({"augmentation": level} if self.network.config.augmentation else {})

    def _hooks(self, preview_every: int) -> Hooks:
        # The compiled program keeps these two: they look up who listens at the moment.
        preview = (lambda step, clip: self.preview(step, clip)) if preview_every else None
        return Hooks(
            progress=lambda step: self.progress(step), preview=preview, every=preview_every or 1
        )


def _normal(keys: Key[Array, "b"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
