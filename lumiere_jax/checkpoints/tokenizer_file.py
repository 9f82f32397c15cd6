"""The tokenizer that belongs to a text encoder, found beside it and copied along with it."""

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
    """Return the place of the tokenizer of a T5 checkpoint, or where it should be.

    It lies beside the encoder, or in the folder `tokenizer` of the pipeline that the encoder is
    part of. It may be a link, as in Hugging Face's cache.
    """
    path = epath.Path(path)
    path = path.parent if is_tensors_file(path) else path
    places = [path / "tokenizer", path]
    if path.name == "text_encoder":
        places.append(path.parent / "tokenizer")
    found = [place / TOKENIZER for place in places if (place / TOKENIZER).exists()]
    return str(found[0] if found else path / TOKENIZER)


def tokenizer_name(tokenizer: str) -> str:
    """Return the name under which a model folder keeps a tokenizer.

    Raises:
      ValueError: a name that means something else there.
    """
    if tokenizer == "bytes":
        return tokenizer
    name = plain_name(epath.Path(tokenizer).name, f"tokenizer={tokenizer}")
    if name in ("bytes", *_OURS) or name.endswith(".safetensors"):
        raise ValueError(f"tokenizer={tokenizer}: a model folder has other files of that name")
    return name


def missing_tokenizer(config: Any, settings: Mapping[str, Any]) -> str | None:
    """Return the name of the tokenizer file that a text encoder lacks; None where it has it."""
    tokenizer = _file(config, settings)
    if tokenizer is None or epath.Path(tokenizer).exists():
        return None
    return tokenizer_name(tokenizer)


def copy_tokenizer(config: Any, settings: Mapping[str, Any], folder: epath.Path) -> None:
    """Copy a text encoder's tokenizer into a model folder, unless it is missing.

    Only a SentencePiece model is copied: the place may come from a file that somebody else wrote.

    Args:
      config: of the network; only a `T5Config` has a tokenizer.
      settings: of the network.
      folder: the model folder.

    Raises:
      ValueError: no SentencePiece model, or one with more pieces than the encoder has rows.
      FileExistsError: two encoders have different tokenizers of one name.
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
    """Return the place of a text encoder's tokenizer; None for one that reads bytes."""
    tokenizer = settings.get("tokenizer", "bytes")
    return tokenizer if isinstance(config, T5Config) and tokenizer != "bytes" else None
