"""What to measure, and how to sample for it."""

from __future__ import annotations

import dataclasses

from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.lumiere import Lumiere
from lumiere_jax.sampling.request import check_seed
from lumiere_jax.structure import check_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What to measure; each field is a flag of `lumiere_jax.evaluate`.

    Attributes:
      model: model folder, or a training run.
      output: folder of the results; an evaluation that was interrupted there is continued.
      prompts: how many held-out prompts.
      seed: of the prompts' order, the clips and the rendered scenes.
      batch: clips made at a time.
      stages: "base", or "all" for super-resolution too.
      sampler, steps, guidance_scale: instead of the model's own.
      fvd: the Fréchet video distance as well.
      fvd_frames: of each clip that FVD compares.
      resize: rule by which FVD resizes frames, see `metrics.i3d_logits`.
      i3d_weights: checkpoint of I3D; that of the installed package when None.
      applications: image-to-video, cinemagraph and inpainting as well, and super-resolution.
      conditioning: of the applications: "trained" or "free".
      scenes: of each application.

    Raises:
      ValueError: a number that cannot be.
    """

    model: str
    output: str
    prompts: int = 200
    seed: int = 0
    batch: int = 8
    stages: str = "base"
    sampler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    fvd: bool = False
    fvd_frames: int = 16
    resize: str = "half_pixel"
    i3d_weights: str | None = None
    applications: bool = False
    conditioning: str = "trained"
    scenes: int = 4

    def __post_init__(self):
        # Each is a clip or scene that takes seconds: more than these would take months.
        for name, most in (("prompts", 10**6), ("batch", 4096), ("scenes", 10**5)):
            check_whole(f"--{name}", getattr(self, name), 1, most)
        check_seed(self.seed)
        check_seed(self.seed + self.prompts - 1)
        if self.fvd and self.prompts < 2:
            raise ValueError("--fvd needs two clips at least: use --prompts=200")

    def samplers(self, model: Lumiere) -> dict[str, SamplerConfig]:
        """Of every stage of the model, with the changes that were asked for."""
        names = ("sampler", "steps", "guidance_scale")
        given = {name: getattr(self, name) for name in names}
        return model.samplers(**{name: value for name, value in given.items() if value is not None})
