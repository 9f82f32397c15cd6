"""The Python API: load a model, and call one method per application.

model = Lumiere.load("models/demo")
clip = model.text_to_video("a red circle bounces on a dark background", seed=0)
clip.save("clips/circle")
model.image_to_video("the circle moves right", "circle.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from etils import epath

from lumiere_jax.applications import canvas, media
from lumiere_jax.applications.cinemagraph import cinemagraph
from lumiere_jax.applications.continuation import continuation
from lumiere_jax.applications.edit import edit
from lumiere_jax.applications.image_to_video import image_to_video
from lumiere_jax.applications.inpaint import inpaint, outpaint
from lumiere_jax.applications.stylize import styled, stylize
from lumiere_jax.applications.text_to_video import text_to_video
from lumiere_jax.applications.upscale import upscale
from lumiere_jax.checkpoints.style import Style
from lumiere_jax.loaded_model import MAXIMUM_FRAMES, LoadedModel, Made, Prompt, load_style
from lumiere_jax.structure import check_whole
from lumiere_jax.video.pixel_values import from_uint8


class Lumiere(LoadedModel):
    """A loaded cascade.

    Every method takes one prompt or several, and returns a `Generated` or a list of them; the first
    clip has the seed given, and each further one the next seed. Pictures and videos are paths, PIL
    images or NumPy arrays; their short side is resized to the size of the result, and the centre
    square is kept. Every method also takes

    - negative: content to avoid;
    - shots: consecutive prompts within each clip, one window of the base each;
    - conditioning: "trained" (the default: the model must have been fine-tuned on observed videos)
      or "free" (any model: known pixels are kept, and the network does not get them);
    - samplers, progress, preview_every, on_preview: see `Cascade.sample`.

    A method reads its files, builds the `Request` of its application (`applications/`), and passes
    it to the cascade.
    """

    def text_to_video(
        self, prompt: Prompt, *, seed: int = 0, frames: int | None = None, **options: Any
    ) -> Made:
        """Generate clips of a prompt.

        Args:
          prompt: one prompt or several.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames of each clip; more than the base was trained on are sampled in windows. By
            default as many as that, or one window for each of the `shots`.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        frames = self._frames(frames, call.shots)
        request = text_to_video(call.prompts, call.seeds, frames=frames, **call.fields)
        return self._generate(call, request, "text_to_video")

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
        """Generate clips whose first frame is an image.

        Args:
          prompt: one prompt or several.
          image: path, PIL image or uint8 [h, w, 3].
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames of each clip, as in `text_to_video`.
          strength: noise level in (0, 1] at which to start from the image, repeated, instead of
            from noise.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        frames = self._frames(frames, call.shots)
        picture = self._fitted(media.open_image(image)[None])[0]
        request = image_to_video(
            call.prompts, call.seeds, picture, frames=frames, strength=strength, **call.fields
        )
        return self._generate(call, request, "image_to_video", _describe(image=image))

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
        """Generate clips of a still in which one region moves.

        Args:
          prompt: one prompt or several.
          image: path, PIL image or uint8 [h, w, 3].
          mask: moving region in pixels of the image, see `regions.open_region`.
          boxes: boxes added to the region, see `regions.open_region`.
          polygons: polygons added to the region, see `regions.open_region`.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames of each clip, as in `text_to_video`.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        frames = self._frames(frames)
        picture = media.open_image(image)[None]
        region = self._region(picture, mask, boxes, polygons)[0]
        still = self._fitted(picture)[0]
        request = cinemagraph(call.prompts, call.seeds, still, region, frames=frames, **call.fields)
        details = _describe(image=image, mask=mask, boxes=boxes, polygons=polygons)
        return self._generate(call, request, "cinemagraph", details)

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
        """Generate a region of a video.

        Args:
          prompt: one prompt or several.
          video: path, uint8 [t, h, w, 3] or list of pictures.
          mask: region to generate in pixels of the video, see `regions.open_region`.
          boxes: boxes added to the region, see `regions.open_region`.
          polygons: polygons added to the region, see `regions.open_region`.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames taken from the start of the video; by default as many as the base was
            trained on.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        clip = self._clip(video, frames)
        region = self._region(clip, mask, boxes, polygons)
        request = inpaint(call.prompts, call.seeds, self._fitted(clip), region, **call.fields)
        details = _describe(video=video, mask=mask, boxes=boxes, polygons=polygons)
        return self._generate(call, request, "inpaint", details)

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
        """Generate what surrounds a video.

        Args:
          prompt: one prompt or several.
          video: path, uint8 [t, h, w, 3] or list of pictures; all of it is kept, uncropped.
          aspect: width over height of the result; or
          padding: pixels of the video to add to its left, top, right and bottom.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames taken from the start of the video, as in `inpaint`.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        clip = self._clip(video, frames)
        plan = canvas.plan_canvas(
            *clip.shape[1:3], self.cascade.size, self.cascade.unit, padding=padding, aspect=aspect
        )
        painted, known = canvas.place(clip, plan)
        request = outpaint(call.prompts, call.seeds, from_uint8(painted), known, **call.fields)
        details = _describe(video=video, aspect=aspect, padding=padding, fit="whole")
        return self._generate(call, request, "outpaint", details)

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
        """Edit a source video (SDEdit).

        Args:
          prompt: one prompt or several.
          video: source video, see `inpaint`.
          strength: noise level of the start, in (0, 1]; the higher, the more the result may differ
            from the source video.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames taken from the start of the video, as in `inpaint`.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        clip = self._fitted(self._clip(video, frames))
        request = edit(call.prompts, call.seeds, clip, strength=strength, **call.fields)
        return self._generate(call, request, "edit", _describe(video=video))

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
        """Generate clips whose first frames are the last ones of a video.

        Args:
          prompt: one prompt or several.
          video: path, uint8 [t, h, w, 3] or list of pictures.
          keep: number of frames taken from the video; a quarter of the clip by default.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames of each clip, including those taken; see `text_to_video`.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        frames = self._frames(frames, call.shots)
        keep = max(1, frames // 4) if keep is None else keep
        check_whole("--keep", keep, 1, MAXIMUM_FRAMES)
        clip = media.open_clip(video, frame_rate=self.frame_rate, last=keep)
        if keep > len(clip):
            raise ValueError(
                f"--keep={keep}, but --video has {len(clip)} frames: use --keep={len(clip)}"
            )
        beginning = self._fitted(clip[-keep:])
        request = continuation(call.prompts, call.seeds, beginning, frames=frames, **call.fields)
        return self._generate(call, request, "continuation", _describe(video=video, keep=keep))

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
        """Generate clips in a style.

        Args:
          prompt: one prompt or several.
          style: `Style`, folder of `checkpoints.style.write_style`, or run of the style stage.
          alpha: interpolation of the spatial parameters from 0, the model's, to 1, the style's.
            Several values give a list: the clips of the first, then of the next, all from the same
            noise.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames of each clip, as in `text_to_video`.
          **options: options of every method.
        """
        several = isinstance(alpha, Sequence)
        if several and not len(alpha):
            raise ValueError("--alpha is empty: give one value or several, such as --alpha=0.7")
        learned = style if isinstance(style, Style) else load_style(style)
        described = dict(style.settings) if isinstance(style, Style) else str(style)
        call = self._call(prompt, seed, options)
        frames = self._frames(frames, call.shots)
        request = stylize(call.prompts, call.seeds, frames=frames, **call.fields)
        made = []
        for value in alpha if several else [alpha]:
            params = styled(self.cascade, learned, value)
            styled_call = call._replace(sampling=call.sampling | {"params": params})
            details = _describe(style=described, alpha=value)
            clips = self._generate(styled_call, request, "stylize", details)
            made += clips if isinstance(clips, list) else [clips]
        return made if several or not call.single else made[0]

    def upscale(
        self,
        prompt: Prompt,
        video: Any,
        *,
        seed: int = 0,
        frames: int | None = None,
        **options: Any,
    ) -> Made:
        """Run the super-resolutions alone on a video.

        Args:
          prompt: content of the video.
          video: path, uint8 [t, h, w, 3] or list of pictures; resized to the size of the base.
          seed: seed of the first clip; each further clip uses the next one.
          frames: frames taken from the start of the video, as in `inpaint`.
          **options: options of every method.
        """
        call = self._call(prompt, seed, options)
        clip = self._clip(video, frames)
        small = from_uint8(media.crop(clip, self.cascade.base.settings.size))
        request = upscale(call.prompts, call.seeds, small, **call.fields)
        return self._generate(call, request, "upscale", _describe(video=video))


def _describe(**given: Any) -> dict[str, Any]:
    """Return the entries of the recipe about the given files, and the fit of pictures."""
    files = {"image", "video", "mask"}
    told = {
        name: media.describe(value) if name in files else value for name, value in given.items()
    }
    kept = {name: value for name, value in told.items() if value is not None and value != ()}
    return ({} if "style" in given else {"fit": media.FIT}) | kept
