"""The tokenizer of a text encoder: a file beside it that is copied with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etils import epath

from lumiere_jax.checkpoints.tensor_folder import is_tensors_file
from lumiere_jax.json_files import plain_name, read_bytes
from lumiere_jax.models.t5 import T5Config
from lumiere_jax.text.tokenizers import MAXIMUM_BYTES, open_tokenizer
from lumiere_jax.video.new_file import new_file

TOKENIZER = "spiece.model"
_OURS = ("model.json", "style")


def find_tokenizer(path: epath.PathLike) -> str:
    """Return the path of a T5 checkpoint's tokenizer, even if it is missing.

    The file is beside the encoder, or in the folder `tokenizer` of the encoder's pipeline. It may
    be a link, as in Hugging Face's cache.
    """
    path = epath.Path(path)
    path = path.parent if is_tensors_file(path) else path
    places = [path / "tokenizer", path]
    if path.name == "text_encoder":
        places.append(path.parent / "tokenizer")
    found = [place / TOKENIZER for place in places if (place / TOKENIZER).exists()]
    return str(found[0] if found else path / TOKENIZER)


def tokenizer_name(tokenizer: str) -> str:
    """Return the name of a tokenizer's file in a model folder; "bytes" if it has none.

    Raises:
      ValueError: a name that another file of the folder has.
    """
    if tokenizer == "bytes":
        return tokenizer
    name = plain_name(epath.Path(tokenizer).name, f"tokenizer={tokenizer}")
    if name in ("bytes", *_OURS) or name.endswith(".safetensors"):
        raise ValueError(f"tokenizer={tokenizer}: a model folder has other files of that name")
    return name


def missing_tokenizer(config: Any, settings: Mapping[str, Any]) -> str | None:
    """Return the name of a text encoder's tokenizer file if it is missing; None otherwise."""
    tokenizer = _file(config, settings)
    if tokenizer is None or epath.Path(tokenizer).exists():
        return None
    return tokenizer_name(tokenizer)


def copy_tokenizer(config: Any, settings: Mapping[str, Any], folder: epath.Path) -> None:
    """Copy a text encoder's tokenizer into a model folder, unless it is missing.

    Only a SentencePiece model is copied: the path may come from a file that somebody else wrote.

    Args:
      config: configuration of the network; only a `T5Config` has a tokenizer.
      settings: settings of the network.
      folder: model folder.

    Raises:
      ValueError: not a SentencePiece model, or one with more pieces than the encoder has rows.
      FileExistsError: two encoders have different tokenizers of the same name.
    """
    tokenizer = settings.get("tokenizer", "bytes")
    if (
        not isinstance(config, T5Config)
        or tokenizer == "bytes"
        or missing_tokenizer(config, settings)
    ):
        return
    data = read_bytes(tokenizer, MAXIMUM_BYTES)
    open_tokenizer(tokenizer, config.vocabulary_size)
    target = folder / tokenizer_name(tokenizer)
    if target.exists() and target.read_bytes() == data:
        return
    with new_file(target) as file:
        file.write_bytes(data)


def _file(config: Any, settings: Mapping[str, Any]) -> str | None:
    """Return the path of a text encoder's tokenizer; None if it reads bytes."""
    tokenizer = settings.get("tokenizer", "bytes")
    return tokenizer if isinstance(config, T5Config) and tokenizer != "bytes" else None
