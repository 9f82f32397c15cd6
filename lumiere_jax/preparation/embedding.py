"""Embed the captions of prepared clips with the text encoder of a model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from lumiere_jax.checkpoints.fingerprint import model_fingerprint
from lumiere_jax.checkpoints.importing import import_t5
from lumiere_jax.checkpoints.model_folder import Part, describe_model, read_model
from lumiere_jax.input_pipeline.image_source import find_pictures, read_caption
from lumiere_jax.models.network import network
from lumiere_jax.models.t5 import T5Config
from lumiere_jax.preparation.embedded_clips import (
    Embed,
    EmbedConfig,
    check_writable,
    embed_folder,
    read_index,
)
from lumiere_jax.structure import check_whole
from lumiere_jax.text.reading import clean
from lumiere_jax.text.stored import (
    NULL_TEXT,
    PROMPTS,
    read_encoder,
    read_prompts,
    write_prompts,
)
from lumiere_jax.text.tokenizers import open_tokenizer
from lumiere_jax.video.new_file import check_output, replaced_file

LONGEST = 8192  # tokens: attention over more exceeds any accelerator's memory


def embed_text(
    source: epath.PathLike,
    model: epath.PathLike,
    output: epath.PathLike,
    *,
    whole: bool | None = None,
    length: int | None = None,
    batch_size: int = 64,
    dtype: str = "float16",
    prompts: Sequence[str] = (),
) -> dict[str, Any]:
    """Copy a folder of clips with embeddings of their captions added; return its index.

    Embeddings of the captions of pictures (`input_pipeline.image_source`) are stored beside them.

    Args:
      source: folder of prepared clips, or of pictures.
      model: model folder with a text encoder, or T5 checkpoint of Hugging Face or t5x.
      output: folder to write; new, or of an interrupted run.
      whole: True to store rows of padding too; by default if the model's U-Net sees padding.
      length: number of tokens that captions are padded or cut to; by default the model's.
      batch_size: number of captions encoded at once.
      dtype: dtype of the stored embeddings, float16 or float32.
      prompts: texts whose embeddings are stored beside the clips, for `train.sample_prompts`; those
        that are there already are kept.

    Raises:
      FileNotFoundError, ValueError: `load_encoder` and `embed_folder` raise them.
    """
    check_whole("--batch_size", batch_size, 1, 1 << 16)
    if length is not None:
        check_whole("--length", length, 1, LONGEST)
    source, output = epath.Path(source), epath.Path(output)
    pictures = [] if (source / "index.json").exists() else _pictures_of(source)
    clips = None if pictures else read_index(source)
    if pictures and source != output:
        raise ValueError(
            f"--output={output}: embeddings of pictures stay beside them; use --output={source}"
        )
    # Checked now: reading an encoder takes minutes.
    (check_output if clips is None else check_writable)(output)
    part, tokenizer, seen = load_encoder(model)
    length = length or part.settings.get("length", 77)
    whole = seen if whole is None else whole
    settings = EmbedConfig(
        encoder=model_fingerprint(part.config, part.params),
        tokenizer=_identify(tokenizer),
        length=length,
        whole=whole,
        dtype=dtype,
        source="pictures" if clips is None else clips["hash"],
    )
    embed = make_embedder(part, tokenizer, length, whole=whole, dtype=dtype, batch_size=batch_size)
    if clips is None:
        return _embed_pictures(output, pictures, prompts, embed, settings)
    count = open_tokenizer(tokenizer, part.config.vocabulary_size).count
    index = embed_folder(source, output, settings, embed, count)
    if prompts:
        _add_prompts(output / PROMPTS, prompts, embed, settings)
    return index


def _identify(tokenizer: str) -> str:
    """Return "bytes", or the hash of a SentencePiece file."""
    if tokenizer == "bytes":
        return tokenizer
    return hashlib.sha256(epath.Path(tokenizer).read_bytes()).hexdigest()


def _pictures_of(folder: epath.Path) -> list[epath.Path]:
    return find_pictures(folder) if folder.is_dir() else []


def _embed_pictures(
    folder: epath.Path,
    pictures: Sequence[epath.Path],
    prompts: Sequence[str],
    embed: Embed,
    settings: EmbedConfig,
) -> dict[str, Any]:
    """Store the embeddings of the captions of pictures, and of the null text, beside them."""
    captions = [read_caption(path) for path in pictures]
    _add_prompts(folder / PROMPTS, [*captions, *prompts], embed, settings)
    with replaced_file(folder / NULL_TEXT) as target, target.open("wb") as file:
        np.save(file, embed([""])[0], allow_pickle=False)
    return {"counts": {"pictures": len(pictures)}, "text": dataclasses.asdict(settings)}


def _add_prompts(
    path: epath.Path, prompts: Sequence[str], embed: Embed, settings: EmbedConfig
) -> None:
    """Store the embeddings of prompts, beside those that the file holds already.

    Raises:
      ValueError: those were made by another encoder, or with other settings.
    """
    encoder = json.dumps(dataclasses.asdict(settings), sort_keys=True)
    stored = {}
    if path.exists():
        if read_encoder(path) != encoder:
            raise ValueError(
                f"{path} was made by another encoder or with other settings; remove it first"
            )
        stored = read_prompts(path)
    cleaned = list(dict.fromkeys(clean(prompt) for prompt in prompts))
    stored |= dict(zip(cleaned, embed(cleaned), strict=True))
    with replaced_file(path) as target:
        write_prompts(target, stored, encoder)


def load_encoder(folder: epath.PathLike) -> tuple[Part, str, bool]:
    """Load the text encoder of a model folder or T5 checkpoint.

    Returns:
      (encoder, its tokenizer, True if the model that it belongs to sees padding).

    Raises:
      FileNotFoundError: a file of the model is missing.
      ValueError: the model folder has no text encoder, or a file of it is damaged.
    """
    folder = epath.Path(folder)
    if not (folder / "model.json").exists():
        part, whole = import_t5(folder).parts["text"], True
    else:
        parts = describe_model(folder).parts
        names = [name for name, found in parts.items() if isinstance(found.config, T5Config)]
        if not names:
            raise ValueError(f"--model={folder} has no text encoder; name a T5 folder instead")
        part = read_model(folder, only=names[:1]).parts[names[0]]
        unets = [found.config for found in parts.values() if not isinstance(found.config, T5Config)]
        whole = not all(config.text_mask for config in unets) if unets else True
    tokenizer = part.settings.get("tokenizer", "bytes")
    return part, tokenizer, whole


def make_embedder(
    part: Part, tokenizer: str, length: int, *, whole: bool, dtype: str, batch_size: int
) -> Embed:
    """Return a function from captions to their T5 states [l, d].

    Args:
      part: T5 encoder.
      tokenizer: "bytes", or the path of a SentencePiece model.
      length: number of tokens that captions are padded or cut to.
      whole: True to return the states of padding too.
      dtype: dtype of the states, float16 or float32.
      batch_size: number of captions encoded at once.
    """
    tokens_of = open_tokenizer(tokenizer, part.config.vocabulary_size)
    encode = jax.jit(network(part.config).apply)

    def states(captions: list[str]) -> Iterator[np.ndarray]:
        for begin in range(0, len(captions), batch_size):
            batch = captions[begin : begin + batch_size]
            # The last batch is filled up, so that all batches run the same compiled program.
            tokens = tokens_of.encode(batch + [""] * (batch_size - len(batch)), length)
            found = np.asarray(encode(part.params, tokens.ids, tokens.mask)).astype(dtype)
            if not np.isfinite(found).all():
                raise ValueError(f"the states overflow {dtype}; use --dtype=float32")
            for row, mask in zip(found[: len(batch)], tokens.mask):
                yield row if whole else row[: int(mask.sum())]

    return lambda captions: list(states(captions))
