"""Embeds the captions of prepared clips ahead of training.

    python -m data.embed_text --source=clips/ --model=models/if --output=clips-with-text/

--source is a folder of data.prepare. --model is a model folder with a text encoder, or a T5 of
Hugging Face or t5x. --output is a folder of the same clips in which each record also has its
caption's embedding: train from it with --config.data.text=embeddings. Models that see padding
(DeepFloyd IF) need every row, --whole; others store captions at their true length. Run the same
command again to continue after an interruption. A folder that another encoder made is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import tqdm
from absl import app, flags
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from etils import epath

from lumiere_jax.input_pipeline.records import add_text_embedding, caption_of
from lumiere_jax.models import T5Config, network
from lumiere_jax.text import open_tokenizer
from lumiere_jax.video.new_file import new_file
from lumiere_jax.weights import Part, describe_model, read_model
from lumiere_jax.weights.fingerprint import fingerprint
from lumiere_jax.weights.importing import import_t5

WRITER_OPTIONS = "group_size:1"

Embed = Callable[[list[str]], list[np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """What decides the numbers in a folder of embeddings.

    Attributes:
      encoder: fingerprint of the encoder's configuration and parameters.
      tokenizer: "bytes", or the hash of the SentencePiece file.
      length: tokens that captions are padded or cut to.
      whole: rows of padding are stored too.
      dtype: of the stored numbers.
      source: hash of the clips.
    """

    encoder: str
    tokenizer: str
    length: int
    whole: bool
    dtype: str
    source: str


def embed_folder(
    source: epath.PathLike, output: epath.PathLike, settings: EmbedSettings, embed: Embed
) -> dict[str, Any]:
    """Copies a folder of clips with embeddings added, shard by shard; returns its index.

    Args:
      source: folder of data.prepare.
      output: new, or of an interrupted run with the same settings.
      settings: noted in the index, and compared with those of what is there already.
      embed: captions to embeddings [l, d].

    Raises:
      FileNotFoundError: `source` is no finished folder.
      ValueError: `output` was made with other settings: by another encoder, from other clips; or
        a shard of `source` is damaged.
    """
    source, output = epath.Path(source), epath.Path(output)
    index = read_index(source)
    text = dataclasses.asdict(settings)
    if (output / "index.json").exists():
        finished = read_index(output)
        _check_same(finished.get("text"), text, output)
        return finished
    notes = output / "progress"
    if not notes.exists() and output.exists() and any(output.iterdir()):
        raise ValueError(f"--output={output} holds something else; give a new --output")
    _begin(notes, text, output)
    shards = []
    with tqdm.tqdm(total=index["counts"]["clips"], unit="clip") as bar:
        for shard in index["shards"]:
            note = notes / f"{shard['file']}.json"
            if not note.exists():
                _check_whole(source / shard["file"], shard)
                _embed_shard(source / shard["file"], output / shard["file"], note, embed)
            shards.append(json.loads(note.read_text()))
            bar.update(shard["records"])
    return _finish(output, index, shards, text, embed)


def read_index(folder: epath.Path) -> dict[str, Any]:
    """The index of a finished folder of clips."""
    if not (folder / "index.json").exists():
        raise FileNotFoundError(
            f"{folder / 'index.json'}: no such file; make the folder with `python -m data.prepare`"
        )
    return json.loads((folder / "index.json").read_text())


def _begin(notes: epath.Path, text: dict[str, Any], output: epath.Path) -> None:
    """Notes the settings of a new run; compares them with those of an interrupted one."""
    path = notes / "settings.json"
    if path.exists():
        _check_same(json.loads(path.read_text()), text, output)
    else:
        _write(path, json.dumps(text))


def _check_same(before: dict[str, Any] | None, now: dict[str, Any], output: epath.Path) -> None:
    if before is None:
        raise ValueError(f"--output={output} holds clips without embeddings; give a new --output")
    for name, value in now.items():
        if before.get(name) != value:
            raise ValueError(
                f"--output={output} was made with another {name} ({before.get(name)}, now {value});"
                " embeddings of both must not be mixed: give a new --output"
            )


def _check_whole(path: epath.Path, shard: dict[str, Any]) -> None:
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != shard["sha256"]:
        raise ValueError(
            f"{path} is missing or is not what index.json says of it; copy it again, or make the "
            "folder again with `python -m data.prepare`"
        )


def _embed_shard(source: epath.Path, target: epath.Path, note: epath.Path, embed: Embed) -> None:
    """Writes one shard, then the note that it is whole."""
    reader = ArrayRecordReader(str(source))
    records = reader.read_all()
    reader.close()
    embeddings = embed([caption_of(record) for record in records])
    target.unlink(missing_ok=True)  # without a note it was not finished
    with new_file(target) as path:
        writer = ArrayRecordWriter(str(path), WRITER_OPTIONS)
        for record, embedding in zip(records, embeddings, strict=True):
            writer.write(add_text_embedding(record, embedding))
        writer.close()
        data = path.read_bytes()
    _write(
        note,
        json.dumps(
            {
                "file": target.name,
                "records": len(records),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        ),
    )


def _finish(
    output: epath.Path,
    index: dict[str, Any],
    shards: list[dict[str, Any]],
    text: dict[str, Any],
    embed: Embed,
) -> dict[str, Any]:
    """Writes the null text's embedding and the index."""
    null = output / "null_text.npy"
    null.unlink(missing_ok=True)  # of a run that was killed before it wrote the index
    with new_file(null) as path:
        np.save(path, embed([""])[0], allow_pickle=False)
    hashes = "".join(shard["sha256"] for shard in shards)
    sizes = index["sizes"] | {"bytes": sum(shard["bytes"] for shard in shards)}
    index = index | {
        "sizes": sizes,
        "hash": hashlib.sha256(hashes.encode()).hexdigest(),
        "shards": shards,
        "text": text,
    }
    _write(output / "index.json", json.dumps(index, indent=1, ensure_ascii=False) + "\n")
    (output / "progress").rmtree()
    return index


def _write(path: epath.Path, text: str) -> None:
    with new_file(path) as target:
        target.write_text(text, encoding="utf-8")


def make_embedder(
    part: Part, tokenizer: str, length: int, *, whole: bool, dtype: str, batch_size: int
) -> Embed:
    """Captions to their T5 states, `batch_size` at a time."""
    tokens_of = open_tokenizer(tokenizer)
    run = jax.jit(network(part.config).apply)

    def states(captions: list[str]) -> Iterator[np.ndarray]:
        for begin in range(0, len(captions), batch_size):
            batch = captions[begin : begin + batch_size]
            # The last batch is filled up, so that everything runs in one compiled program.
            tokens = tokens_of.encode(batch + [""] * (batch_size - len(batch)), length)
            found = np.asarray(run(part.params, tokens.ids, tokens.mask)).astype(dtype)
            if not np.isfinite(found).all():
                raise ValueError(f"the states overflow {dtype}; use --dtype=float32")
            for row, mask in zip(found[: len(batch)], tokens.mask):
                yield row if whole else row[: int(mask.sum())]

    return lambda captions: list(states(captions))


def load_encoder(folder: epath.PathLike) -> tuple[Part, str, bool]:
    """The text encoder of a model folder or T5 checkpoint, its tokenizer, and whether padding is
    seen by the model it belongs to."""
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
    """Embeds the captions of `source` with the encoder of `model`; returns the index of `output`.

    Raises:
      FileNotFoundError, ValueError: see `load_encoder` and `embed_folder`.
    """
    if batch_size < 1:
        raise ValueError(f"--batch_size={batch_size} must be positive; try 64")
    clips = read_index(epath.Path(source))
    part, tokenizer, seen = load_encoder(model)
    length = length or part.settings.get("length", 77)
    whole = seen if whole is None else whole
    hashed = tokenizer
    if tokenizer != "bytes":
        hashed = hashlib.sha256(epath.Path(tokenizer).read_bytes()).hexdigest()
    settings = EmbedSettings(
        encoder=fingerprint(part.config, part.params),
        tokenizer=hashed,
        length=length,
        whole=whole,
        dtype=dtype,
        source=clips["hash"],
    )
    embed = make_embedder(part, tokenizer, length, whole=whole, dtype=dtype, batch_size=batch_size)
    return embed_folder(source, output, settings, embed)


def define_flags() -> None:
    """Flags, only where this file is the program."""
    flags.DEFINE_string("source", None, "Folder of prepared clips.", required=True)
    flags.DEFINE_string("model", None, "Model folder, or a T5 folder.", required=True)
    flags.DEFINE_string("output", None, "Folder to write; new or interrupted.", required=True)
    flags.DEFINE_bool("whole", None, "Store padding too; by default what the model's U-Net needs.")
    flags.DEFINE_integer("length", None, "Tokens of a caption; by default the model's.")
    flags.DEFINE_integer("batch_size", 64, "Captions encoded at once.")
    flags.DEFINE_enum("dtype", "float16", ["float16", "float32"], "Of the stored numbers.")


def main(argv: list[str]) -> None:
    """Embeds what the flags say."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; write --flag=value")
    names = ("source", "model", "output", "whole", "length", "batch_size", "dtype")
    values = {name: flags.FLAGS[name].value for name in names}
    try:
        index = embed_text(**values)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{index['counts']['clips']} clips with embeddings in {values['output']}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
