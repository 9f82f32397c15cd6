"""Embed the captions of prepared clips ahead of training.

    python -m lumiere_jax.embed_text --source=clips/ --model=models/if --output=clips-with-text/

--source is a folder of `lumiere_jax.prepare`. --model is a model folder with a text encoder, or a
T5 of Hugging Face or t5x. --output is a folder of the same clips in which each record also has its
caption's embedding: train from it with --config.data.text=embeddings. Models that see padding
(DeepFloyd IF) need every row, --whole; others store captions at their true length. Run the same
command again to continue after an interruption. A folder that another encoder made is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import flags
from etils import epath

from lumiere_jax.checkpoints.fingerprint import fingerprint
from lumiere_jax.checkpoints.importing import import_t5
from lumiere_jax.checkpoints.model_folder import Part, describe_model, read_model
from lumiere_jax.models.network import network
from lumiere_jax.models.t5 import T5Config
from lumiere_jax.one_line_errors import define_path, run
from lumiere_jax.preparation.embedded_clips import (
    Embed,
    EmbedConfig,
    check_writable,
    embed_folder,
    read_index,
)
from lumiere_jax.structure import check_whole
from lumiere_jax.text.tokenizers import open_tokenizer

LONGEST = 8192  # tokens: more fit no accelerator's attention


def make_embedder(
    part: Part, tokenizer: str, length: int, *, whole: bool, dtype: str, batch_size: int
) -> Embed:
    """Return what turns captions into their T5 states, `batch_size` at a time."""
    tokens_of = open_tokenizer(tokenizer, part.config.vocabulary_size)
    encode = jax.jit(network(part.config).apply)

    def states(captions: list[str]) -> Iterator[np.ndarray]:
        for begin in range(0, len(captions), batch_size):
            batch = captions[begin : begin + batch_size]
            # The last batch is filled up, so that everything runs in one compiled program.
            tokens = tokens_of.encode(batch + [""] * (batch_size - len(batch)), length)
            found = np.asarray(encode(part.params, tokens.ids, tokens.mask)).astype(dtype)
            if not np.isfinite(found).all():
                raise ValueError(f"the states overflow {dtype}; use --dtype=float32")
            for row, mask in zip(found[: len(batch)], tokens.mask):
                yield row if whole else row[: int(mask.sum())]

    return lambda captions: list(states(captions))


def load_encoder(folder: epath.PathLike) -> tuple[Part, str, bool]:
    """Return the text encoder of a model folder or T5 checkpoint, its tokenizer, and whether the
    model that it belongs to sees padding."""
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


def embed_text(
    source: epath.PathLike,
    model: epath.PathLike,
    output: epath.PathLike,
    *,
    whole: bool | None = None,
    length: int | None = None,
    batch_size: int = 64,
    dtype: str = "float16",
) -> dict[str, Any]:
    """Embed the captions of `source` with the encoder of `model`; return the index of `output`.

    Raises:
      FileNotFoundError, ValueError: see `load_encoder` and `embed_folder`.
    """
    check_whole("--batch_size", batch_size, 1, 1 << 16)
    if length is not None:
        check_whole("--length", length, 1, LONGEST)
    clips = read_index(epath.Path(source))
    check_writable(epath.Path(output))  # reading an encoder takes minutes
    part, tokenizer, seen = load_encoder(model)
    count = open_tokenizer(tokenizer, part.config.vocabulary_size).count
    length = length or part.settings.get("length", 77)
    whole = seen if whole is None else whole
    hashed = tokenizer
    if tokenizer != "bytes":
        hashed = hashlib.sha256(epath.Path(tokenizer).read_bytes()).hexdigest()
    settings = EmbedConfig(
        encoder=fingerprint(part.config, part.params),
        tokenizer=hashed,
        length=length,
        whole=whole,
        dtype=dtype,
        source=clips["hash"],
    )
    embed = make_embedder(part, tokenizer, length, whole=whole, dtype=dtype, batch_size=batch_size)
    return embed_folder(source, output, settings, embed, count)


def define_flags() -> None:
    """Define flags, only where this file is the program."""
    define_path("source", None, "Folder of prepared clips.", required=True)
    define_path("model", None, "Model folder, or a T5 folder.", required=True)
    define_path("output", None, "Folder to write; new or interrupted.", required=True)
    flags.DEFINE_bool("whole", None, "Store padding too; by default what the model's U-Net needs.")
    flags.DEFINE_integer("length", None, "Tokens of a caption; by default the model's.")
    flags.DEFINE_integer("batch_size", 64, "Captions encoded at once.")
    flags.DEFINE_enum("dtype", "float16", ["float16", "float32"], "Of the stored numbers.")


def main(_: list[str]) -> None:
    """Embed what the flags say."""
    names = ("source", "model", "output", "whole", "length", "batch_size", "dtype")
    values = {name: flags.FLAGS[name].value for name in names}
    index = embed_text(**values)
    clips, text = index["counts"]["clips"], index["text"]
    if text.get("cut"):
        print(
            f"{text['cut']} of {clips} captions have more than {text['length']} tokens; the rest "
            "is not read (--length)"
        )
    print(f"{clips} clips with embeddings in {values['output']}")


if __name__ == "__main__":
    define_flags()
    run(main)
