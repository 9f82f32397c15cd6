"""The clips of an evaluation: batch by batch, one seed each, kept as they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tqdm import tqdm

from lumiere_jax.applications.text_to_video import text_to_video
from lumiere_jax.diffusion.sampler_config import SamplerConfig
from lumiere_jax.evaluation.results_folder import ResultsFolder
from lumiere_jax.lumiere import Lumiere


def make_clips(
    model: Lumiere,
    folder: ResultsFolder,
    prompts: Sequence[str],
    *,
    seed: int,
    batch: int,
    samplers: Mapping[str, SamplerConfig],
) -> list[str]:
    """Makes the clips that are missing; number i has seed + i, whatever batch it is made in.

    Returns:
      The names of all of them in the folder.
    """
    names = [f"clip-{number:05d}" for number in range(len(prompts))]
    missing = [number for number, name in enumerate(names) if not folder.has(name)]
    done = len(prompts) - len(missing)
    with tqdm(total=len(prompts), initial=done, desc="clips", unit="clip") as bar:
        for start in range(0, len(missing), batch):
            numbers = missing[start : start + batch]
            request = text_to_video(
                [prompts[number] for number in numbers],
                [seed + number for number in numbers],
                frames=model.cascade.base.settings.frames,
            )
            made = model.make(request, samplers=samplers, progress=False)
            for number, clip in zip(numbers, made, strict=True):
                folder.keep(names[number], clip.video)
            bar.update(len(numbers))
    return names
