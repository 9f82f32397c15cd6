"""Embeddings that stand beside prepared clips: of the null text, and of sample prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Float

from lumiere_jax.text.text import Text

NULL_TEXT = "null_text.npy"
PROMPTS = "prompts.npz"


def read_array(path: epath.Path, width: int | None = None) -> Float[np.ndarray, "l d"]:
    """Read the embedding of one text.

    Args:
      path: file of `np.save`.
      width: expected d; any when None.

    Raises:
      ValueError: not an array, or one of another shape.
    """
    return _checked(_load(path), width, str(path))


def read_prompts(path: epath.Path, width: int | None = None) -> dict[str, Float[np.ndarray, "l d"]]:
    """Read the embeddings of prompts.

    Args:
      path: file of `write_prompts`.
      width: expected d; any when None.

    Raises:
      ValueError: not such a file, or arrays of another shape.
    """
    stored = _load(path)
    prompts = stored.get("prompts") if isinstance(stored, Mapping) else None
    if prompts is None or prompts.dtype.kind != "U" or prompts.ndim != 1:
        raise ValueError(f"{path} is not a file of prompts; embed them again")
    found = {}
    for number, prompt in enumerate(prompts.tolist()):
        where = f"{path}: {number}"
        if str(number) not in stored:
            raise ValueError(f"{where} is missing; embed the prompts again")
        found[prompt] = _checked(stored[str(number)], width, where)
    return found


def write_prompts(
    path: epath.Path, texts: Mapping[str, Float[np.ndarray, "l d"]], encoder: str = ""
) -> None:
    """Write the embeddings of prompts; arrays of plain numbers and text, without pickle.

    Args:
      path: file to write.
      texts: embeddings by prompt.
      encoder: description of what made them, so that those of two encoders are not mixed.
    """
    arrays = {str(number): array for number, array in enumerate(texts.values())}
    words = {"prompts": np.array(list(texts), dtype=np.str_), "encoder": np.array(encoder)}
    with path.open("wb") as file:
        np.savez(file, **words, **arrays)


def read_encoder(path: epath.Path) -> str:
    """Read the description of the encoder that made a file of prompts.

    Args:
      path: file of `write_prompts`.

    Raises:
      ValueError: not such a file.
    """
    stored = _load(path)
    return str(stored.get("encoder", "")) if isinstance(stored, Mapping) else ""


def pad_text(rows: Sequence[Float[np.ndarray, "l d"]], length: int) -> Text:
    """Return embeddings padded with zeros, or cut, to one length, and their mask.

    Args:
      rows: embeddings of the texts.
      length: tokens of the result.
    """
    embedding = np.zeros((len(rows), length, rows[0].shape[-1]), np.float32)
    mask = np.zeros((len(rows), length), bool)
    for number, row in enumerate(rows):
        row = row[:length]
        embedding[number, : len(row)] = row
        mask[number, : len(row)] = True
    return Text(embedding, mask)


def _load(path: epath.Path) -> Any:
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            return dict(stored) if isinstance(stored, np.lib.npyio.NpzFile) else stored
    except Exception as error:  # zipfile and NumPy raise any of a dozen types for damaged files
        raise ValueError(f"{path} is not an array ({error}); embed the captions again") from None


def _checked(array: Any, width: int | None, where: str) -> Float[np.ndarray, "l d"]:
    matrix = isinstance(array, np.ndarray) and array.ndim == 2
    if not matrix or width not in (None, array.shape[-1]):
        shape, expected = getattr(array, "shape", None), "d" if width is None else width
        raise ValueError(f"{where} holds an array of shape {shape}, expected [l, {expected}]")
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{where} holds {array.dtype}, expected floating-point numbers")
    return array
