"""Copy a folder of clips, shard by shard, with an embedding of each caption added."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tqdm
from array_record.python.array_record_module import ArrayRecordReader
from etils import epath

from lumiere_jax.input_pipeline.clip_index import MAXIMUM, read_clip_index
from lumiere_jax.input_pipeline.records import add_text_embedding, caption_of
from lumiere_jax.json_files import read_json
from lumiere_jax.only_writer import only_writer
from lumiere_jax.preparation.output_files import clear, write_shard, write_text
from lumiere_jax.structure import check_whole
from lumiere_jax.text.stored import NULL_TEXT
from lumiere_jax.video.new_file import check_output, new_file, refuse_full

Embed = Callable[[list[str]], list[np.ndarray]]
Count = Callable[[list[str]], list[int]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Everything that the embeddings in a folder depend on.

    Attributes:
      encoder: fingerprint of the encoder's configuration and parameters.
      tokenizer: "bytes", or the hash of the SentencePiece file.
      length: number of tokens that captions are padded or cut to.
      whole: True if rows of padding are stored too.
      dtype: dtype of the stored embeddings.
      source: hash of the clips.
    """

    encoder: str
    tokenizer: str
    length: int
    whole: bool
    dtype: str
    source: str


def embed_folder(
    source: epath.PathLike,
    output: epath.PathLike,
    settings: EmbedConfig,
    embed: Embed,
    count: Count | None = None,
) -> dict[str, Any]:
    """Copy a folder of clips with embeddings added, shard by shard; return its index.

    Args:
      source: folder of lumiere_jax.prepare.
      output: folder to write; new, or of an interrupted run with the same settings.
      settings: encoder, clips and storage; written to the index, and compared with those of an
        interrupted run.
      embed: function from captions to embeddings [l, d].
      count: function from captions to their numbers of tokens, uncut; captions of more than
        `settings.length` are counted in the index as text.cut. They are not counted when None.

    Raises:
      FileNotFoundError: `source` is not a finished folder.
      ValueError: `output` was made with other settings: by another encoder, from other clips; or
        a shard of `source` is damaged.
      BlockingIOError: another program is writing to `output`.
    """
    source, output = epath.Path(source), epath.Path(output)
    index, text = read_index(source), dataclasses.asdict(settings)
    if (finished := _find_finished(output, text)) is not None:
        return finished
    check_writable(output)
    notes = output / "progress"
    with only_writer(notes, f"--output={output}"):
        if (finished := _find_finished(output, text)) is not None:
            return finished
        _begin(notes, text, output)
        shards = []
        with tqdm.tqdm(total=index["counts"]["clips"], unit="clip") as bar:
            for shard in index["shards"]:
                note = notes / f"{shard['file']}.json"
                done = _read_note(note, output / shard["file"], shard)
                if done is None:
                    _check_whole(source / shard["file"], shard)
                    captions, done = _embed_shard(source / shard["file"], output, embed)
                    lengths = count(captions) if count else []
                    done["cut"] = sum(length > settings.length for length in lengths)
                    write_text(note, json.dumps(done))
                shards.append(done)
                bar.update(shard["records"])
        return _finish(output, index, shards, text, embed)


def check_writable(output: epath.Path) -> None:
    """Raise an error if embeddings cannot be written to a folder; a finished one is not checked.

    Raises:
      FileExistsError: the folder holds something else.
      OSError: the folder cannot be written to.
    """
    if (output / "index.json").exists():
        return
    if not (output / "progress").exists():
        refuse_full(output, expected="embeddings")
    check_output(output)


def read_index(folder: epath.Path) -> dict[str, Any]:
    """Read the index of a finished folder of clips; see `read_clip_index`."""
    if not (folder / "index.json").exists():
        raise FileNotFoundError(
            f"{folder / 'index.json'}: no such file; make the folder with "
            "`python -m lumiere_jax.prepare`"
        )
    return read_clip_index(folder)


def _find_finished(output: epath.Path, text: dict[str, Any]) -> dict[str, Any] | None:
    if not (output / "index.json").exists():
        return None
    finished = read_index(output)
    _check_same(finished.get("text"), text, output)
    clear(output / "progress")
    return finished


def _begin(notes: epath.Path, text: dict[str, Any], output: epath.Path) -> None:
    """Write the settings of a new run, or compare them with those of an interrupted one."""
    path = notes / "settings.json"
    try:
        before = read_json(path)
    except (FileNotFoundError, ValueError):  # new, or lost in a power cut: start again
        for leftover in notes.glob("*.json"):
            leftover.unlink()
        write_text(path, json.dumps(text))
    else:
        _check_same(before, text, output)


def _check_same(before: dict[str, Any] | None, now: dict[str, Any], output: epath.Path) -> None:
    if before is None:
        raise ValueError(f"--output={output} holds clips without embeddings; give a new --output")
    for name, value in now.items():
        if before.get(name) != value:
            raise ValueError(
                f"--output={output} was made with another {name} ({before.get(name)}, now {value});"
                " embeddings of both must not be mixed: give a new --output"
            )


def _read_note(note: epath.Path, path: epath.Path, shard: dict[str, Any]) -> dict[str, Any] | None:
    """Read the note of a finished shard; None if the shard has to be made."""
    try:
        found = read_json(note)
        check_whole("records", found["records"], shard["records"], shard["records"])
        check_whole("cut", found.get("cut", 0), 0, MAXIMUM)
        whole = found["file"] == path.name and path.stat().length == found["bytes"]
    except (OSError, ValueError, KeyError):
        return None
    return found if whole and "sha256" in found else None


def _check_whole(path: epath.Path, shard: dict[str, Any]) -> None:
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != shard["sha256"]:
        raise ValueError(
            f"{path} is missing or differs from index.json; copy it again, or make the folder "
            "again with `python -m lumiere_jax.prepare`"
        )


def _embed_shard(
    source: epath.Path, output: epath.Path, embed: Embed
) -> tuple[list[str], dict[str, Any]]:
    """Write one shard; return its captions and its note."""
    captions, records = _read_shard(source)
    embeddings = embed(captions)
    target = output / source.name
    target.unlink(missing_ok=True)  # without a note it was not finished
    pairs = zip(records, embeddings, strict=True)
    written = write_shard(target, [add_text_embedding(*pair) for pair in pairs])
    return captions, {"file": target.name, "records": len(records), **written}


def _read_shard(path: epath.Path) -> tuple[list[str], list[bytes]]:
    """Read the captions and records of a shard."""
    try:
        reader = ArrayRecordReader(str(path))
        records = reader.read_all()
        reader.close()
        return [caption_of(record) for record in records], records
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no clips: {error}; make the folder again with "
            "`python -m lumiere_jax.prepare`"
        ) from None


def _finish(
    output: epath.Path,
    index: dict[str, Any],
    shards: list[dict[str, Any]],
    text: dict[str, Any],
    embed: Embed,
) -> dict[str, Any]:
    """Write the null text's embedding and the index."""
    null = output / NULL_TEXT
    null.unlink(missing_ok=True)  # of a run that was killed before it wrote the index
    rows = embed([""])[0]
    with new_file(null) as path:
        np.save(path, rows, allow_pickle=False)
    hashes = "".join(shard["sha256"] for shard in shards)
    sizes = index["sizes"] | {"bytes": sum(shard["bytes"] for shard in shards)}
    keys = ("file", "records", "bytes", "sha256")
    cut = sum(shard.get("cut", 0) for shard in shards)
    index = index | {
        "sizes": sizes,
        "hash": hashlib.sha256(hashes.encode()).hexdigest(),
        "shards": [{key: shard[key] for key in keys} for shard in shards],
        "text": text | {"cut": cut, "width": rows.shape[1]},
    }
    write_text(output / "index.json", json.dumps(index, indent=1, ensure_ascii=False) + "\n")
    clear(output / "progress")
    return index
