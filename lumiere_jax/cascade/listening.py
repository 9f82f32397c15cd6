"""Who listens while a stage makes its clips: the terminal and the caller."""

from __future__ import annotations

import jax
from tqdm import tqdm

from lumiere_jax.cascade.pixels import to_uint8
from lumiere_jax.diffusion import SamplerConfig
from lumiere_jax.stage import Stage


class Listening:
    """Context: a bar over a stage's denoising steps, and its previews as bytes.

    Args:
      stage: listened to until the context ends.
      sampler: tells the number of steps.
      progress: whether the bar is shown.
      on_preview: gets (stage name, step, clips uint8 [b, t, h, w, 3]); None for nobody.
    """

    def __init__(self, stage: Stage, sampler: SamplerConfig, progress: bool, on_preview):
        self._stage, self._on_preview = stage, on_preview
        steps = len(sampler.times()) - 1
        self._bar = tqdm(total=steps, desc=stage.name, unit="step", disable=not progress)

    def __enter__(self):
        self._stage.progress = lambda step: self._bar.update(1)
        if self._on_preview is not None:
            name = self._stage.name
            self._stage.preview = lambda step, clip: self._on_preview(name, step, to_uint8(clip))

    def __exit__(self, *_):
        jax.effects_barrier()
        self._bar.close()
        self._stage.progress = lambda step: None
        self._stage.preview = lambda step, clip: None
