"""The Python face: load a model, one method an application.

model = Lumiere.load("models/demo")
clip = model.text_to_video("a red circle bounces on a dark background", seed=0)
clip.save("clips/circle")
model.image_to_video("the circle moves right", "circle.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from etils import epath

from lumiere_jax import applications
from lumiere_jax.applications import canvas, media
from lumiere_jax.checkpoints.style import Style
from lumiere_jax.loaded_model import MAXIMUM_FRAMES, LoadedModel, Made, Prompt, load_style
from lumiere_jax.sampling.pixels import from_uint8
from lumiere_jax.structure import check_whole


class Lumiere(LoadedModel):
    """A loaded cascade.

    Every method takes a prompt, or several, and gives a `Generated`, or a list of them; the first
    clip has the seed given, and the others count on from it. Pictures and videos are paths, PIL
    images or NumPy arrays; their short side is fitted to the size of the result and the centre
    square kept. Every method also takes

    - negative: what not to show;
    - shots: prompts that follow one another, a window of the base each;
    - conditioning: "trained" (the default: the model must have been fine-tuned on observed videos)
      or "free" (any model: what is known is kept, and the network is not told);
    - samplers, progress, preview_every, on_preview: see `Cascade.sample`.
    """

    def text_to_video(
        self, prompt: Prompt, *, seed: int = 0, frames: int | None = None, **options: Any
    ) -> Made:
        """Clips of a prompt.

        Args:
          prompt: one or several.
          seed: of the first clip.
          frames: more than the base was trained on are made window by window; by default as many
            as that, or a window for each of the `shots`.
          **options: those of every method.
        """
        frames = self._frames(frames, options.get("shots"))
        return self._apply(applications.text_to_video, prompt, seed, options, frames=frames)

    def image_to_video(
        self,
        prompt: Prompt,
        image: Any,
        *,
        seed: int = 0,
        frames: int | None = None,
        strength: float | None = None,
        **options: Any,
    ) -> Made:
        """Clips whose first frame is an image.

        Args:
          image: a path, a PIL image or uint8 [h, w, 3].
          frames: see `text_to_video`.
          strength: start from the image, repeated and noised to this level, instead of from noise.
          **options: those of every method.
        """
        frames = self._frames(frames, options.get("shots"))
        picture = self._fitted(media.open_image(image)[None])[0]
        return self._apply(
            applications.image_to_video,
            prompt,
            seed,
            options,
            picture,
            frames=frames,
            strength=strength,
            details=_details(image=image),
        )

    def cinemagraph(
        self,
        prompt: Prompt,
        image: Any,
        *,
        mask: Any = None,
        boxes: Sequence[Any] = (),
        polygons: Sequence[Any] = (),
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """A still in which one region moves.

        Args:
          image: see `image_to_video`.
          mask, boxes, polygons: what moves, in pixels of the image; see `regions.open_region`.
          frames: see `text_to_video`.
          **options: those of every method.
        """
        frames = self._frames(frames)
        picture = media.open_image(image)[None]
        region = self._region(picture, mask, boxes, polygons)[0]
        return self._apply(
            applications.cinemagraph,
            prompt,
            seed,
            options,
            self._fitted(picture)[0],
            region,
            frames=frames,
            details=_details(image=image, mask=mask, boxes=boxes, polygons=polygons),
        )

    def inpaint(
        self,
        prompt: Prompt,
        video: Any,
        *,
        mask: Any = None,
        boxes: Sequence[Any] = (),
        polygons: Sequence[Any] = (),
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """A video with a region made anew.

        Args:
          video: a path, uint8 [t, h, w, 3] or a list of pictures.
          mask, boxes, polygons: what is made, in pixels of the video; see `regions.open_region`.
          frames: from the start of the video; by default as many as the base was trained on.
          **options: those of every method.
        """
        clip = self._clip(video, frames)
        region = self._region(clip, mask, boxes, polygons)
        details = _details(video=video, mask=mask, boxes=boxes, polygons=polygons)
        return self._apply(
            applications.inpaint,
            prompt,
            seed,
            options,
            self._fitted(clip),
            region,
            details=details,
        )

    def outpaint(
        self,
        prompt: Prompt,
        video: Any,
        *,
        aspect: float | None = None,
        padding: canvas.Padding | None = None,
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """A video inside of a larger picture.

        Args:
          video: see `inpaint`; all of it is kept, nothing is cropped.
          aspect: width over height of the result; or
          padding: pixels of the video to add to its left, top, right and bottom.
          frames: see `inpaint`.
          **options: those of every method.
        """
        clip = self._clip(video, frames)
        plan = canvas.plan_canvas(
            *clip.shape[1:3], self.cascade.size, self.cascade.unit, padding=padding, aspect=aspect
        )
        painted, known = canvas.place(clip, plan)
        details = _details(video=video, aspect=aspect, padding=padding, fit="whole")
        return self._apply(
            applications.outpaint,
            prompt,
            seed,
            options,
            from_uint8(painted),
            known,
            details=details,
        )

    def edit(
        self,
        prompt: Prompt,
        video: Any,
        *,
        strength: float = 0.6,
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """A video that follows another one (SDEdit).

        Args:
          video, frames: see `inpaint`.
          strength: in (0, 1], how far from the video the result may go.
          **options: those of every method.
        """
        clip = self._fitted(self._clip(video, frames))
        details = _details(video=video)
        return self._apply(
            applications.edit, prompt, seed, options, clip, strength=strength, details=details
        )

    def continue_video(
        self,
        prompt: Prompt,
        video: Any,
        *,
        keep: int | None = None,
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """A clip whose first frames are the last ones of a video.

        Args:
          video: see `inpaint`.
          keep: how many; a quarter of the clip by default.
          frames: of the new clip, those among them; see `text_to_video`.
          **options: those of every method.
        """
        frames = self._frames(frames, options.get("shots"))
        keep = max(1, frames // 4) if keep is None else keep
        check_whole("--keep", keep, 1, MAXIMUM_FRAMES)
        clip = media.open_clip(video, frame_rate=self.frame_rate, last=keep)
        if keep > len(clip):
            raise ValueError(
                f"--keep={keep}, but --video has {len(clip)} frames: use --keep={len(clip)}"
            )
        return self._apply(
            applications.continuation,
            prompt,
            seed,
            options,
            self._fitted(clip[-keep:]),
            frames=frames,
            details=_details(video=video, keep=keep),
        )

    def stylize(
        self,
        prompt: Prompt,
        style: Style | epath.PathLike,
        *,
        alpha: float | Sequence[float] = 0.7,
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """Clips in a style.

        Args:
          style: a `Style`, a folder of `weights.style.write_style`, or a run of the style stage.
          alpha: from 0, the model as it is, to 1, the style itself. Several give a list: the clips
            of the first, then of the next, all from the same noise.
          frames: see `text_to_video`.
          **options: those of every method.
        """
        learnt = style if isinstance(style, Style) else load_style(style)
        frames = self._frames(frames, options.get("shots"))
        described = dict(style.settings) if isinstance(style, Style) else str(style)
        several = isinstance(alpha, Sequence)
        if several and not len(alpha):
            raise ValueError("--alpha is empty: give one value or several, such as --alpha=0.7")
        made = []
        for value in alpha if several else [alpha]:
            params = applications.styled(self.cascade, learnt, value)
            clips = self._apply(
                applications.stylize,
                prompt,
                seed,
                {**options, "params": params},
                frames=frames,
                details={"style": described, "alpha": value},
            )
            made += clips if isinstance(clips, list) else [clips]
        return made if several or not isinstance(prompt, str) else made[0]

    def upscale(
        self,
        prompt: Prompt,
        video: Any,
        *,
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """A finer version of a video: super-resolution alone.

        Args:
          prompt: what it shows.
          video, frames: see `inpaint`; fitted to the size of the base.
          **options: those of every method.
        """
        clip = self._clip(video, frames)
        small = from_uint8(media.crop(clip, self.cascade.base.settings.size))
        details = _details(video=video)
        return self._apply(applications.upscale, prompt, seed, options, small, details=details)


def _details(**given: Any) -> dict[str, Any]:
    """What the recipe says of what was given, and how pictures were fitted."""
    files = {"image", "video", "mask"}
    told = {
        name: media.describe(value) if name in files else value for name, value in given.items()
    }
    kept = {name: value for name, value in told.items() if value is not None and value != ()}
    return {"fit": media.FIT} | kept
