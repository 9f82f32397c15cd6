"""Read and check `index.json` of a folder of prepared clips."""

from __future__ import annotations

import re
from typing import Any

from etils import epath

from lumiere_jax.json_files import plain_name, read_json
from lumiere_jax.structure import check_whole

MAXIMUM = 1 << 50  # of clips and of bytes: a petabyte
ADVICE = "make the folder again with `python -m lumiere_jax.prepare`"


def read_clip_index(folder: epath.PathLike) -> dict[str, Any]:
    """Read the index of a finished folder of clips.

    The result certainly has counts.clips, sizes.clip [t, h, w, 3], hash, and for each shard its
    file (a plain name), records, bytes and sha256.

    Raises:
      FileNotFoundError: the index does not exist.
      ValueError: the file is not such an index, or refers to files outside of its folder; the
        message names the file.
    """
    path = epath.Path(folder) / "index.json"
    index = read_json(path, advice=ADVICE)
    try:
        _check(index)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is not an index of prepared clips: {reason}; {ADVICE}") from None
    return index


def _check(index: dict[str, Any]) -> None:
    for name, kind in (("counts", dict), ("sizes", dict), ("hash", str), ("shards", list)):
        _check_kind(name, index[name], kind)
    for name, kind in (("settings", dict), ("text", dict), ("captions", dict)):
        _check_kind(name, index.get(name, kind()), kind)
    for name, count in index["counts"].items():
        if name != "rejected_by_reason":
            check_whole(f"counts.{name}", count, 0, MAXIMUM)
    clips, shape = index["counts"]["clips"], index["sizes"]["clip"]
    _check_kind("sizes.clip", shape, list)
    if len(shape) != 4:
        raise ValueError(f"sizes.clip={shape!r:.80} is not [t, h, w, 3]")
    for side in shape:
        check_whole("sizes.clip", side, 1, 1 << 20)
    for number, shard in enumerate(index["shards"]):
        _check_kind(f"shards[{number}]", shard, dict)
        plain_name(shard["file"], f"shards[{number}].file")
        check_whole(f"shards[{number}].records", shard["records"], 1, MAXIMUM)
        check_whole(f"shards[{number}].bytes", shard["bytes"], 1, MAXIMUM)
        if not re.fullmatch("[0-9a-f]{64}", str(shard["sha256"])):
            raise ValueError(f"shards[{number}].sha256={shard['sha256']!r:.80} is not a SHA-256")
    names = {shard["file"] for shard in index["shards"]}
    if len(names) < len(index["shards"]):
        raise ValueError("a shard is listed twice")
    if (total := sum(shard["records"] for shard in index["shards"])) != clips:
        raise ValueError(f"counts.clips={clips}, and the shards have {total}")


def _check_kind(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        names = {dict: "an object", list: "an array", str: "text"}
        raise ValueError(f"{name} is not {names[kind]}")
