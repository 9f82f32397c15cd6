"""Read a folder of a few pictures of one style, each with its caption.

style/house.png     style/house.txt      "a house in watercolour"
style/ships.jpg     style/caption.txt    for every picture without a file of its own
"""

from __future__ import annotations

import hashlib

from etils import epath

from lumiere_jax.input_pipeline.data_config import DataConfig
from lumiere_jax.input_pipeline.source import Example
from lumiere_jax.json_files import read_bytes
from lumiere_jax.text.reading import clean, read_text
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
        self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
        if not self._paths:
            raise FileNotFoundError(
                f"data.source=images:{folder} holds no picture ({', '.join(ENDINGS)})"
            )
        self._captions = [_caption(path) for path in self._paths]
        digest = hashlib.sha256()
        for path, caption in zip(self._paths, self._captions):
            digest.update(read_bytes(path) + caption.encode())
        self.identity = f"images {digest.hexdigest()[:16]}"

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, record: int, moment: float | None = None) -> Example:
        """Read a picture and its caption; see `Source.read`."""
        picture = read_image(self._paths[record], size=self._size)
        return Example(picture[None], self._captions[record])


def _caption(path: epath.Path) -> str:
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
