"""Damage to files: changed bytes, truncated files, and JSON with invalid values."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

# Values that break parsers: ends of the number ranges, other types, paths to other places.
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 7, 2**31, 2**63, 10**9, 2 * 10**9, 10**30, -(10**30), 0.5, -0.5, 1e308,
    "", "x", "../../secret", "/etc/passwd", "/dev/zero", "gs://bucket/x", "\0", "é" * 300, "nan",
    [], {}, [[]], [1], [10**9, 1], [-1, 0], {"a": 1}, [None] * 50,
)  # fmt: skip
TOKENS = (b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 5000, b'"\\ud83d"', b"[" * 5000, b"null")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a file after one or more damages of random kinds."""
    if rng.random() < 0.5 and (changed := _mutate_json(data, rng)) is not None:
        return changed
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        data = rng.choice(DAMAGES)(data, rng)
    return data


def _mutate_json(data: bytes, rng: random.Random) -> bytes | None:
    """Return a JSON text with one value or key changed; None if the bytes hold none.

    The header of a safetensors file is a JSON text too, after its length.
    """
    prefix, rest = b"", b""
    length = struct.unpack("<Q", data[:8])[0] if len(data) > 8 else 0
    header = 0 < length <= len(data) - 8
    text = data[8 : 8 + length] if header else data
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    changed = json.dumps(_changed(value, rng)).encode()
    if header:
        prefix, rest = struct.pack("<Q", len(changed)), data[8 + length :]
    return prefix + changed + rest


def _changed(value: Any, rng: random.Random) -> Any:
    """Return the value with one of its items replaced, removed, renamed or repeated."""
    places = list(_places(value))
    if not places:
        return rng.choice(VALUES)
    holder, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 3:
        deep: Any = 0
        for _ in range(rng.choice((5, 70, 900))):
            deep = [deep]
        holder[key] = deep
    else:
        holder[key] = rng.choice(VALUES)
    return value


def _places(value: Any):
    """Yield (container, key) of every item inside a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    place = rng.randrange(min(len(data), rng.choice((16, 256, len(data)))))
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _zero(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    length = min(rng.choice((1, 8, 64, 4096)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start : start + rng.choice((1, 16, 256))] * 2 + data[start:]


def _number(data: bytes, rng: random.Random) -> bytes:
    """Overwrite a field with the largest or smallest number of its width, in either byte order."""
    width = rng.choice("BHIQ")
    number = rng.choice((0, 1, 2 ** (8 * struct.calcsize(width)) - 1, 2**7, 2**15 % 256))
    field = struct.pack(rng.choice("<>") + width, number % 2 ** (8 * struct.calcsize(width)))
    start = rng.randrange(min(len(data), rng.choice((64, 1024, len(data) or 1))) or 1)
    return data[:start] + field + data[start + len(field) :]


def _token(data: bytes, rng: random.Random) -> bytes:
    """Replace a digit by text that breaks parsers."""
    digits = [place for place, byte in enumerate(data[:10_000]) if 48 <= byte <= 57]
    place = rng.choice(digits) if digits else rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(TOKENS) + data[place + 1 :]


def _noise(data: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 8, 200)))


DAMAGES = (_flip, _flip, _flip, _cut, _zero, _repeat, _number, _number, _token, _noise)
