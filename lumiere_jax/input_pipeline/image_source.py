"""Read a folder of a few pictures of one style, each with its caption.

style/house.png     style/house.txt      "a house in watercolour"
style/ships.jpg     style/caption.txt    for every picture without a file of its own
style/prompts.npz                        embeddings of the captions, for data.text="embeddings"
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from etils import epath
from jaxtyping import Float

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.source import Example
from lumiere_jax.json_files import read_bytes
from lumiere_jax.text.reading import clean, read_text
from lumiere_jax.text.stored import PROMPTS, read_prompts
from lumiere_jax.video.images import read_image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")


class ImageSource:
    """Pictures as clips of one frame: the short side resized to `size`, then the centre square.

    Args:
      folder: folder of pictures and captions.
      config: data configuration, with `image_frames`.

    Raises:
      FileNotFoundError: the folder, a picture in it, or a picture's caption is missing.
      ValueError: the configuration requires clips of several frames, or a caption is empty or not
        UTF-8.
    """

    def __init__(self, folder: epath.PathLike, config: DataConfig):
        folder = epath.Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"data.source=images:{folder}: no such folder")
        if not config.image_frames:
            raise ValueError("data.source=images:… has no clips; set data.image_frames=True")
        self._size = config.size
        self._paths = find_pictures(folder)
        if not self._paths:
            raise FileNotFoundError(
                f"data.source=images:{folder} holds no picture ({', '.join(ENDINGS)})"
            )
        self._captions = [read_caption(path) for path in self._paths]
        self._embeddings = _embeddings(folder, self._captions) if config.text != "tokens" else {}
        digest = hashlib.sha256()
        for path, caption in zip(self._paths, self._captions):
            digest.update(read_bytes(path) + caption.encode())
        self.identity = f"images {digest.hexdigest()[:16]}"

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, record: int, moment: float | None = None) -> Example:
        """Read a picture and its caption; see `Source.read`."""
        picture = read_image(self._paths[record], size=self._size)
        caption = self._captions[record]
        return Example(picture[None], caption, self._embeddings.get(caption))


def find_pictures(folder: epath.Path) -> list[epath.Path]:
    """Return the pictures of a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)


def _embeddings(folder: epath.Path, captions: Sequence[str]) -> dict[str, Float[np.ndarray, "l d"]]:
    """Read the embeddings of captions.

    Raises:
      FileNotFoundError: there are none in the folder.
      ValueError: one is missing.
    """
    path = folder / PROMPTS
    advice = f"python -m lumiere_jax.embed_text --source={folder} --model=<model> --output={folder}"
    if not path.exists():
        raise FileNotFoundError(
            f"data.text='embeddings': {path} is missing; write it with {advice}"
        )
    stored = read_prompts(path)
    missing = [caption for caption in captions if caption not in stored]
    if missing:
        raise ValueError(f"{path} has no embedding of {missing[0]!r:.80}; write it with {advice}")
    return stored


def read_caption(path: epath.Path) -> str:
    """Return the caption of the text file beside a picture, or of the one for all."""
    for place in (path.parent / f"{path.stem}.txt", path.parent / "caption.txt"):
        if place.exists():
            caption = clean(read_text(place))
            if not caption:
                raise ValueError(f"{place} is empty: write what {path.name} shows")
            return caption
    raise FileNotFoundError(
        f"{path} has no caption: write one into {path.stem}.txt beside it, or one for all into "
        "caption.txt"
    )
